"""One candle length has one form, and a minute is never a month."""

from __future__ import annotations

import pytest

from stateful_engine.domain.timeframes import canonical_timeframe


@pytest.mark.parametrize(
    ("spellings", "canonical"),
    [
        (["1m", "M1", "1", "1min", "1 minute", 1, "PERIOD_M1", "1T", "m1"], "1m"),
        (["1M", "1mo", "MN1", "MN", "1 month", "monthly", "1mon", "1Mutc"], "1M"),
        (["3m", "M3", "3min"], "3m"),
        (["5m", "M5", "5", 5, "5 menit"], "5m"),
        (["15m", "M15", "15", "15M", "15min", "15-min", "15 minutes"], "15m"),
        (["30m", "M30", "30M", 30], "30m"),
        (["1H", "1h", "H1", "60", "60m", 60, "1hr", "1 hour", "hourly", "1 jam", "TIMEFRAME_H1"], "1H"),
        (["2H", "H2", "120"], "2H"),
        (["4H", "4h", "H4", "240", 240, "4hours"], "4H"),
        (["6H", "360"], "6H"),
        (["12h", "H12", "720"], "12H"),
        (["1D", "1d", "D1", "D", "daily", "1440", "24h", "1Dutc"], "1D"),
        (["3D", "3d"], "3D"),
        (["1W", "1w", "W1", "W", "weekly", "7d", "10080"], "1W"),
        (["3M", "3mo"], "3M"),
    ],
)
def test_every_spelling_of_a_candle_folds_to_its_form(spellings: list[object], canonical: str) -> None:
    assert [canonical_timeframe(raw) for raw in spellings] == [canonical] * len(spellings)


@pytest.mark.parametrize(
    "raw",
    ["", "unknown", "ALL", "swing", "0", "0m", "-5", "1x", "x" * 100, None, 0, -1, 1.5, True, ["1H"], "1H 4H", "30s"],
)
def test_what_is_no_candle_is_none(raw: object) -> None:
    assert canonical_timeframe(raw) is None


def test_folding_twice_changes_nothing() -> None:
    for form in ("1m", "5m", "15m", "30m", "1H", "4H", "1D", "1W", "1M", "3M", "90m"):
        assert canonical_timeframe(form) == form
