"""The calls that a host makes by itself: they work in an app context, and tell the truth when they cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from flask import request

from stateful_engine.errors import InvalidInputError, NotInitializedError, SpoolFullError
from stateful_engine.services.integrator import EnhancedSignalIntegrator
from stateful_engine.tracking.decorators import track_signal_generation
from stateful_engine.tracking.functions import (
    cache_analytics_data,
    get_cached_analytics_data,
    get_enhanced_integrator,
    get_signal_analytics_summary,
    get_state_manager,
    log_user_interaction,
    track_signal,
    track_signal_execution,
    track_telegram_click,
    update_signal_outcome,
)
from tests.factories import signal_data
from tests.recorded import recorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

    from tests.conftest import AppMaker

UNKNOWN_ID = "sig_000000000000_1700000000"


def test_a_signal_is_recorded_with_its_engine_and_the_interaction_that_it_was_generated(app: Flask) -> None:
    with app.app_context():
        signal_id = track_signal(
            {"symbol": "BTCUSDT", "action": "BUY", "confidence": 85.5, "entry_price": 45000.0},
            source_engine="sharp_signal",
        )
    stored = recorded(app)
    assert stored.counts == (1, 0, 1)
    signal = stored.signals[0]
    assert (signal["signal_id"], signal["source_engine"], signal["source"]) == (signal_id, "sharp_signal", "API")
    assert stored.interactions[0]["interaction_type"] == "SIGNAL_GENERATED"


def test_inside_a_request_the_caller_is_recorded_too(app: Flask) -> None:
    @app.post("/hook/<symbol>")
    def hook(symbol: str) -> dict[str, Any]:
        return {"id": track_signal(signal_data(symbol=symbol)), "own": track_signal(signal_data(), source="MANUAL")}

    app.test_client().post("/hook/ETHUSDT", headers={"User-Agent": "ChatGPT-User/1.0"})
    signal, own = recorded(app).signals
    assert (signal["endpoint"], signal["source"], signal["ip_address"]) == ("/hook/<symbol>", "CHAT_GPT", "127.0.0.1")
    assert own["source"] == "MANUAL"


def test_a_host_that_records_a_signal_first_can_still_read_its_stream(app: Flask) -> None:
    @app.post("/hook")
    def hook() -> bytes:
        track_signal(signal_data())
        log_user_interaction(None, "VIEW")
        return request.stream.read()

    assert app.test_client().post("/hook", json={"a": 1}).data == b'{"a": 1}'
    assert recorded(app).counts == (1, 0, 2)


def test_a_durable_signal_is_in_the_database_when_the_call_returns(app: Flask) -> None:
    with app.app_context():
        signal_id = track_signal(signal_data(), durable=True)
        found = get_state_manager().get_signal(signal_id)
    assert found is not None
    assert found["symbol"] == "BTCUSDT"


def test_a_signal_that_cannot_be_meant_is_refused_with_every_fault(app: Flask) -> None:
    with app.app_context(), pytest.raises(InvalidInputError) as caught:
        track_signal(signal_data(confidence=500, action="MOON"))
    assert len(caught.value.errors) == 2
    assert recorded(app).counts == (0, 0, 0)


def test_a_full_spool_is_told_and_not_hidden(make_app: AppMaker) -> None:
    with make_app(STATEFUL_SPOOL_MAX_BYTES=1).app_context(), pytest.raises(SpoolFullError):
        track_signal(signal_data())


def test_a_signal_is_executed_and_ends(app: Flask) -> None:
    with app.app_context():
        signal_id = track_signal(signal_data())
        assert track_signal_execution(signal_id, 45100.0, source="TELEGRAM") is True
        assert update_signal_outcome(signal_id, "WIN", pnl_percentage=3.1) is True
        assert track_signal_execution(UNKNOWN_ID, 45100.0) is False
        assert update_signal_outcome(UNKNOWN_ID, "WIN") is False
    signal = recorded(app).signals[0]
    assert (signal["is_executed"], signal["execution_price"], signal["execution_source"]) == (True, 45100.0, "TELEGRAM")
    assert (signal["outcome"], signal["pnl_percentage"]) == ("WIN", 3.1)


def test_a_click_in_telegram_is_kept_with_its_chat_and_its_person(app: Flask) -> None:
    with app.app_context():
        signal_id = track_signal(signal_data())
        first = track_telegram_click(signal_id=signal_id, chat_id="123456789", username="trader_user")
        track_telegram_click(signal_id, -100, user_id=7, interaction_type="SHARE", additional_data={"button": "x"})
    click, share = recorded(app).interactions[1:]
    assert (click["interaction_id"], click["signal_id"]) == (first, signal_id)
    assert (click["interaction_type"], click["interaction_source"], click["user_id"]) == (
        "CLICK",
        "TELEGRAM",
        "123456789",
    )
    assert click["interaction_data"] == {"chat_id": "123456789", "username": "trader_user"}
    assert (share["interaction_type"], share["user_id"]) == ("SHARE", "7")
    assert share["interaction_data"] == {"button": "x", "chat_id": "-100", "username": None}


def test_any_interaction_can_be_logged_and_unknown_ones_are_refused(app: Flask) -> None:
    with app.app_context():
        log_user_interaction(None, "view", "WEB", "u1", {"page": 2})
        with pytest.raises(InvalidInputError):
            log_user_interaction(None, "TELEPATHY")
    view = recorded(app).interactions[0]
    assert (view["interaction_type"], view["interaction_source"], view["user_id"]) == ("VIEW", "WEB", "u1")
    assert view["interaction_data"] == {"page": 2}


def test_the_facade_of_the_current_app_is_given_and_without_one_it_finds_the_app_later(app: Flask) -> None:
    later = get_enhanced_integrator()
    assert isinstance(later, EnhancedSignalIntegrator)
    with app.app_context():
        assert get_enhanced_integrator() is app.extensions["stateful_engine"].integrator
        signal_id = later.track_signal_from_engine(signal_data(), "sharp_signal")
    assert recorded(app).signals[0]["signal_id"] == signal_id


def test_the_summary_has_the_six_figures(app: Flask) -> None:
    with app.app_context():
        track_signal(signal_data())
        summary = get_signal_analytics_summary()["summary"]
    assert summary["total_signals_today"] == 1
    assert {"win_rate_month", "execution_rate_week", "query_success_rate"} <= set(summary)


def test_analytics_are_cached_until_they_expire(app: Flask) -> None:
    with app.app_context():
        assert get_cached_analytics_data("signals", 7) is None
        cache_analytics_data("signals", 7, {"total_signals": 3}, expire_seconds=300)
        cache_analytics_data("queries", 7, {"total_queries": 1})
        assert get_cached_analytics_data("signals", 7) == {"total_signals": 3}
        assert get_cached_analytics_data("signals", 30) is None
        assert get_cached_analytics_data("queries", 7) == {"total_queries": 1}


CALLS: list[Callable[[], object]] = [
    lambda: track_signal(signal_data()),
    lambda: track_signal_execution(UNKNOWN_ID, 1.0),
    lambda: track_telegram_click(UNKNOWN_ID, "1"),
    lambda: update_signal_outcome(UNKNOWN_ID, "WIN"),
    lambda: get_cached_analytics_data("signals", 7),
    get_state_manager,
    get_signal_analytics_summary,
]


@pytest.mark.parametrize("call", CALLS)
def test_outside_an_app_each_call_says_what_to_do(call: Callable[[], object]) -> None:
    with pytest.raises(NotInitializedError, match=r"app\.app_context\(\)"):
        call()


def test_people_are_hidden_also_in_texts_that_were_given_as_objects(make_app: AppMaker) -> None:
    app = make_app(STATEFUL_HASH_USER_IDS=True)
    said = signal_data(ai_reasoning={"user_id": 4242, "email": "jo@example.com", "why": "trend"})

    @app.get("/signal")
    @track_signal_generation(extractor=lambda _body, _asked: said)
    def view() -> dict[str, Any]:
        return {}

    app.test_client().get("/signal")
    app.test_client().post("/api/gpts/state/track-signal", json={"signal_data": said})
    with app.app_context():
        track_signal(said)
    stored = recorded(app).signals
    assert len(stored) == 3
    assert all("trend" in row["ai_reasoning"] for row in stored)
    assert "4242" not in repr(stored)
    assert "jo@example.com" not in repr(stored)
