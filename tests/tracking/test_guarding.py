"""Our failures stay ours: the host's answer goes out, the failure is counted, and logged once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stateful_engine.domain.extraction import extract_one
from stateful_engine.tracking.decorators import track_signal_generation
from tests.factories import short_signal_data, signal_data
from tests.recorded import failures, recorded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flask import Flask

    from tests.conftest import AppMaker

SIGNAL = signal_data()


def serve(app: Flask, **options: Any) -> None:
    """Give `app` the view `/signal`, tracked with `options`."""
    app.add_url_rule("/signal", "signal", track_signal_generation(**options)(lambda: signal_data()))


def test_an_extractor_that_fails_costs_the_signal_and_neither_the_answer_nor_the_query(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    def extractor(body: Any, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        raise KeyError("hunter2")

    serve(app, extractor=extractor)
    client = app.test_client()
    with caplog.at_level(logging.WARNING, logger="stateful_engine"):
        answers = [client.get("/signal") for _ in range(3)]
    assert [answer.get_json() for answer in answers] == [SIGNAL] * 3
    assert recorded(app).counts == (0, 3, 0)
    assert failures(app) == {"failed_extract_signals": 3}
    assert len(caplog.records) == 1
    assert "hunter2" not in caplog.text


def test_an_extractor_gets_the_body_and_the_parameters_and_gives_what_it_likes(app: Flask) -> None:
    seen: list[tuple[Any, dict[str, Any]]] = []

    def extractor(body: Any, request: Mapping[str, Any]) -> Any:
        seen.append((dict(body), dict(request)))
        body.clear()
        return given.pop(0)

    given: list[Any] = [
        short_signal_data(),
        [signal_data(), extract_one({"action": "HOLD", "symbol": "XAUUSD"})],
        (signal_data(symbol=symbol) for symbol in ("BTCUSDT", "ETHUSDT")),
        None,
        [],
    ]
    serve(app, extractor=extractor)
    client = app.test_client()
    wanted = [["ETHUSDT"], ["BTCUSDT", "XAUUSD"], ["BTCUSDT", "ETHUSDT"], [], []]
    for symbols in wanted:
        before = len(recorded(app).signals)
        answer = client.get("/signal?pair=X")
        assert answer.get_json()["symbol"] == "BTCUSDT"
        assert [row["symbol"] for row in recorded(app).signals[before:]] == symbols
    assert seen == [(SIGNAL, {"pair": "X"})] * 5


def test_an_extractor_that_changes_its_body_changes_no_answer(app: Flask) -> None:
    def extractor(body: Any, request: Any) -> dict[str, Any]:
        body.clear()
        request.clear()
        return signal_data()

    app.add_url_rule("/own", "own", track_signal_generation(extractor=extractor)(lambda: signal_data(signal_id="mine")))
    assert app.test_client().get("/own?a=b").get_json() == signal_data(signal_id="mine")
    assert recorded(app).queries[0]["request_params"] == {"a": "b"}


def test_an_item_of_an_extractor_that_is_no_signal_costs_no_neighbour(app: Flask) -> None:
    serve(app, extractor=lambda body, request: [signal_data(), {"symbol": "X"}, "prose", None, short_signal_data()])
    app.test_client().get("/signal")
    assert [row["symbol"] for row in recorded(app).signals] == ["BTCUSDT", "ETHUSDT"]
    assert app.extensions["stateful_engine"].guard.snapshot()["unusable_extractor_items"] == 3


def test_an_extractor_that_breaks_off_costs_only_what_it_did_not_give(app: Flask) -> None:
    def extractor(body: Any, request: Any) -> Iterator[dict[str, Any]]:
        yield signal_data()
        raise LookupError("the rest is gone")

    serve(app, extractor=extractor)
    app.test_client().get("/signal")
    assert recorded(app).counts == (1, 1, 1)
    assert failures(app) == {"failed_extract_signals": 1}


def test_a_mapping_finds_what_no_rule_would(app: Flask) -> None:
    body = {"payload": {"pair": "BTC/USDT", "verdict": {"side": "long", "sure": 0.8}}}
    mapping = {"symbol": "payload.pair", "action": "payload.verdict.side", "confidence": "payload.verdict.sure"}
    app.add_url_rule("/signal", "signal", track_signal_generation(mapping=mapping)(lambda: body))
    app.test_client().get("/signal")
    signal = recorded(app).signals[0]
    assert (signal["symbol"], signal["action"], signal["confidence"]) == ("BTCUSDT", "BUY", 80)


def test_a_shape_that_nobody_knows_is_counted(app: Flask) -> None:
    app.add_url_rule("/odd", "odd", track_signal_generation(lambda: {"zz": {"verdict": {"side": "long"}}}))
    app.test_client().get("/odd")
    assert recorded(app).counts == (0, 1, 0)
    assert app.extensions["stateful_engine"].guard.snapshot()["unrecognised_shapes"] == 1


def test_a_full_spool_drops_the_record_loudly_and_promises_no_id(
    make_app: AppMaker, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(STATEFUL_SPOOL_MAX_BYTES=1)
    serve(app, dedupe_seconds=60)
    client = app.test_client()
    with caplog.at_level(logging.WARNING, logger="stateful_engine"):
        answers = [client.get("/signal") for _ in range(2)]
    assert [answer.get_json() for answer in answers] == [SIGNAL] * 2
    assert not {"X-Signal-ID", "X-Query-ID"} & set(answers[0].headers.keys())
    assert app.extensions["stateful_engine"].guard.snapshot()["dropped"] == 2
    assert "the spool has reached STATEFUL_SPOOL_MAX_BYTES" in caplog.text


def test_a_spool_that_cannot_be_written_does_not_reach_the_client(make_app: AppMaker, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    app = make_app(STATEFUL_SPOOL_DIR=str(tmp_path / "file" / "spool"))
    serve(app)
    answer = app.test_client().get("/signal")
    assert (answer.status_code, answer.get_json()) == (200, SIGNAL)
    assert sum(failures(app).values()) >= 1


def test_a_request_that_cannot_be_read_is_recorded_all_the_same(app: Flask) -> None:
    class Unreadable(app.request_class):  # type: ignore[name-defined,misc]
        @property
        def args(self) -> Any:
            raise RuntimeError("a bug in the host's request class")

    app.request_class = Unreadable
    serve(app)
    assert app.test_client().get("/signal?a=%20b").get_json()["signal_id"]
    assert recorded(app).counts == (1, 1, 1)
    assert failures(app) == {"failed_read_the_request": 1}
