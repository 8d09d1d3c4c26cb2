"""An answer can succeed and yet issue nothing, and an accident in its words is no refusal."""

from __future__ import annotations

import pytest

from stateful_engine.domain.refusals import refusal
from stateful_engine.domain.scopes import Scope


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "rejected"},
        {"status": "REJECTED"},
        {"status": "Regime Blocked"},
        {"status": "execution-failed"},
        {"status": "circuit_breaker_triggered"},
        {"status": "insufficient_data"},
        {"status": "no_trade_zone"},
        {"status": "below_threshold"},
        {"status": "not_found"},
        {"status": False},
        {"status": 404},
        {"status": "success", "signal_status": "rejected"},
        {"success": False},
        {"success": "False"},
        {"status": "ok", "ok": False},
        {"has_signal": False},
        {"rejected": True},
        {"success": True, "blocked": True},
        {"status_code": 500},
        {"error": "no candles"},
        {"error": {"code": 1}},
        {"error": "no candles", "success": None, "status": "pending"},
        {"error_message": "x"},
    ],
)
def test_this_refuses(fields: dict[object, object]) -> None:
    assert (refusal(Scope(fields)) or "").endswith("nothing was issued")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"status": "success"},
        {"status": "approved"},
        {"status": "cached"},
        {"status": "not_executed"},
        {"status": "executed"},
        {"status": "partial", "success": True},
        {"status": 200},
        {"status": True},
        {"status": None, "success": None, "error": None},
        {"status": "error " * 20},
        {"status": {"code": "error"}},
        {"success": "true"},
        {"success": 1},
        {"rejected": False},
        {"rejected": "no"},
        {"status_code": 201},
        {"status_code": "500"},
        {"status_code": True},
        {"error": ""},
        {"error": []},
        {"error": "the news feed is away", "success": True},
        {"error": "the news feed is away", "status": "success"},
    ],
)
def test_this_does_not_refuse(fields: dict[object, object]) -> None:
    assert refusal(Scope(fields)) is None


def test_in_a_listing_a_status_tells_how_a_signal_ended() -> None:
    for status in ("failed", "expired", "cancelled", "skipped"):
        assert refusal(Scope({"status": status}, is_item=True)) is None
    for status in ("rejected", "error", "blocked", "risk_rejected"):
        assert refusal(Scope({"status": status}, is_item=True)) is not None
