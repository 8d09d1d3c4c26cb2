"""A host with its own JSON provider: it writes the host's answers, we read what it wrote and write ours ourselves."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from flask import Flask
from flask.json.provider import JSONProvider

from stateful_engine import track_signal_generation
from tests.factories import signal_data
from tests.recorded import recorded

if TYPE_CHECKING:
    from tests.conftest import AppMaker


class Loud(JSONProvider):
    """Sorts, indents, writes decimals as text, and shouts every key."""

    def dumps(self, obj: Any, **_: Any) -> str:
        value = {str(name).upper(): item for name, item in obj.items()} if isinstance(obj, dict) else obj
        return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        return orjson.loads(s)


@pytest.fixture
def host(make_app: AppMaker) -> Flask:
    app = make_app()
    app.json = Loud(app)
    return app


def test_the_client_gets_the_hosts_json_with_the_id_in_it(host: Flask) -> None:
    @host.get("/signal")
    @track_signal_generation(mapping={"symbol": "SYMBOL", "action": "ACTION", "entry_price": "ENTRY"})
    def view() -> dict[str, Any]:
        at = datetime(2026, 1, 2, tzinfo=timezone.utc)
        return {"symbol": "BTC/USDT", "action": "buy", "entry": Decimal("45000.5"), "at": at}

    answer = host.test_client().get("/signal")
    signal = recorded(host).signals[0]
    assert (signal["symbol"], signal["action"], signal["entry_price"]) == ("BTCUSDT", "BUY", 45000.5)
    sent = orjson.loads(answer.data)
    assert sent.pop("signal_id") == signal["signal_id"]
    assert sent == {"ACTION": "buy", "AT": "2026-01-02T00:00:00+00:00", "ENTRY": "45000.5", "SYMBOL": "BTC/USDT"}


def test_the_provider_stays_and_our_answers_do_not_go_through_it(host: Flask) -> None:
    client = host.test_client()
    assert isinstance(host.json, Loud)
    sent = orjson.dumps({"signal_data": signal_data()})
    answer = client.post("/api/gpts/state/track-signal", data=sent, content_type="application/json")
    tracked = orjson.loads(answer.data)
    shown = orjson.loads(client.get(f"/api/gpts/state/signal/{tracked['signal_id']}").data)
    assert (tracked["success"], shown["success"]) == (True, True)
