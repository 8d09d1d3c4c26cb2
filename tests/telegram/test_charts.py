"""The picture of the dashboard."""

from __future__ import annotations

from stateful_engine.telegram import performance_chart

PNG = b"\x89PNG\r\n\x1a\n"


def test_gains_and_losses_are_drawn_for_any_symbol() -> None:
    rows = {f"$SYM{n}^_é": {"count": 2, "wins": 1, "avg_pnl": n - 10.5} for n in range(20)}
    picture = performance_chart(rows, days=30)
    assert picture is not None
    assert picture.startswith(PNG)


def test_without_results_there_is_nothing_to_draw() -> None:
    assert performance_chart({}, days=30) is None
