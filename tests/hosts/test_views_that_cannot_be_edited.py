"""`instrument()` on a host whose views belong to somebody else, end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, jsonify

from stateful_engine import get_enhanced_integrator
from tests.factories import signal_data
from tests.recorded import recorded

if TYPE_CHECKING:
    from tests.conftest import AppMaker


def vendor_blueprint() -> Blueprint:
    """A blueprint as an installed package brings it."""
    signals = Blueprint("signals", "vendor", url_prefix="/api/signal")

    @signals.get("/sharp")
    def sharp() -> Any:
        return jsonify(data={"signal": signal_data(symbol="BTC/USDT")}, status="success")

    @signals.get("/stored")
    def stored() -> Any:
        return jsonify(signals=[signal_data()])

    @signals.get("/health")
    def health() -> Any:
        return jsonify(ok=True)

    return signals


def create_app(make_app: AppMaker) -> Flask:
    app = make_app()
    app.register_blueprint(vendor_blueprint())
    get_enhanced_integrator().instrument(
        app, {"signals.sharp": {"source_engine": "sharp"}, "signals.stored": {"track": False}}
    )
    return app


def test_its_signals_are_recorded_and_its_other_views_are_left_alone(make_app: AppMaker) -> None:
    app = create_app(make_app)
    client = app.test_client()
    answer = client.get("/api/signal/sharp")
    listing, health = client.get("/api/signal/stored"), client.get("/api/signal/health")
    stored = recorded(app)
    assert stored.counts == (1, 1, 1)
    signal = stored.signals[0]
    assert (signal["symbol"], signal["symbol_raw"], signal["source_engine"]) == ("BTCUSDT", "BTC/USDT", "sharp")
    assert answer.get_json()["signal_id"] == signal["signal_id"]
    assert "X-Query-ID" not in listing.headers
    assert "X-Query-ID" not in health.headers


def test_the_id_it_gives_can_be_executed(make_app: AppMaker) -> None:
    client = create_app(make_app).test_client()
    signal_id = client.get("/api/signal/sharp").headers["X-Signal-ID"]
    body = {"execution_price": 45100.0, "source": "TELEGRAM", "user_id": "telegram_123456"}
    assert client.post(f"/api/gpts/state/signal/{signal_id}/execute", json=body).get_json()["success"] is True
