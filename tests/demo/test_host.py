"""`wsgi.py` as a newcomer meets it: migrated, filled and served by the usual Flask commands."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from tests.factories import ROOT
from wsgi import create_app

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient


@pytest.fixture
def host(database_url: str, tmp_path: Path) -> Iterator[Flask]:
    """The demo host on a database of this test's own."""
    config = {"TESTING": True, "STATEFUL_DATABASE_URL": database_url, "STATEFUL_SPOOL_DIR": str(tmp_path / "spool")}
    app = create_app(config)
    yield app
    app.extensions["stateful_engine"].close(timeout=2.0)


@pytest.fixture
def visitor(host: Flask) -> FlaskClient:
    return host.test_client()


def test_a_signal_is_answered_with_an_id_that_the_engine_knows(visitor: FlaskClient) -> None:
    answer = visitor.get("/api/gpts/signal?symbol=BTC/USDT&tf=1h")
    body = answer.get_json()
    assert answer.status_code == 200
    assert (body["signal"]["symbol"], body["signal"]["timeframe"]) == ("BTCUSDT", "1H")
    assert body["data_source"] == "synthetic"
    assert answer.headers["X-Signal-ID"] == body["signal_id"]
    stored = visitor.get(f"/api/gpts/state/signal/{body['signal_id']}").get_json()["signal"]
    assert stored["source_engine"] == "trend_rules"
    assert stored["entry_price"] == body["signal"]["entry_price"]
    assert stored["ai_reasoning"] == body["signal"]["ai_reasoning"]


@pytest.mark.parametrize(("dashboard", "target"), [(True, "/state/"), (False, "/api/gpts/signal")])
def test_the_bare_address_leads_to_something_to_look_at(
    database_url: str, tmp_path: Path, dashboard: bool, target: str
) -> None:
    settings = {"STATEFUL_DATABASE_URL": database_url, "STATEFUL_SPOOL_DIR": str(tmp_path / "spool")}
    app = create_app({"TESTING": True, "STATEFUL_DASHBOARD": dashboard, **settings})
    answer = app.test_client().get("/", follow_redirects=True)
    assert (answer.status_code, answer.request.path) == (200, target)
    app.extensions["stateful_engine"].close(timeout=2.0)


def test_a_sharp_signal_is_recorded_and_a_refusal_is_not(visitor: FlaskClient) -> None:
    for timeframe in ("15m", "1H", "4H", "1D"):
        for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XAUUSD"):
            answer = visitor.post("/api/gpts/sinyal/tajam", json={"symbol": symbol, "timeframe": timeframe})
            body = answer.get_json()
            assert answer.status_code == 200
            assert ("signal_id" in body) == (body["status"] == "success")
            assert ("X-Signal-ID" in answer.headers) == (body["status"] == "success")
            assert "X-Query-ID" in answer.headers


def test_without_a_market_the_first_one_is_meant(visitor: FlaskClient) -> None:
    signal = visitor.get("/api/gpts/signal").get_json()["signal"]
    assert (signal["symbol"], signal["timeframe"]) == ("BTCUSDT", "1H")


@pytest.mark.parametrize("query", ["symbol=NOPE", "symbol=BTCUSDT&tf=7x", "tf=3H", "symbol=%00"])
def test_an_unknown_market_is_a_400_that_says_what_there_is(visitor: FlaskClient, query: str) -> None:
    answer = visitor.get(f"/api/gpts/signal?{query}")
    assert answer.status_code == 400
    assert "there are: BTCUSDT (15m, 1H, 4H, 1D)" in answer.get_json()["message"]
    assert "X-Signal-ID" not in answer.headers


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"BTCUSDT"', b"null"])
def test_a_body_that_is_no_object_is_a_400_with_an_example(visitor: FlaskClient, body: bytes) -> None:
    answer = visitor.post("/api/gpts/sinyal/tajam", data=body, content_type="application/json")
    assert answer.status_code == 400
    assert '{"symbol": "BTCUSDT", "tf": "1H"}' in answer.get_json()["message"]


def test_a_folder_of_candles_takes_the_place_of_the_made_up_market(database_url: str, tmp_path: Path) -> None:
    rows = [f"{at * 3_600_000},{100 + at},{101 + at},{99 + at},{100 + at},1" for at in range(80)]
    (tmp_path / "GOLD-1H.csv").write_text("\n".join(["ts,open,high,low,close,volume", *rows]))
    config = {"TESTING": True, "STATEFUL_DATABASE_URL": database_url, "STATEFUL_CANDLES": str(tmp_path)}
    app = create_app(config | {"STATEFUL_SPOOL_DIR": str(tmp_path / "spool")})
    body = app.test_client().get("/api/gpts/signal").get_json()
    app.extensions["stateful_engine"].close(timeout=2.0)
    assert (body["signal"]["symbol"], body["data_source"]) == ("GOLD", "GOLD-1H.csv")


def test_traffic_is_played_once_only_where_that_is_asked_for(host: Flask) -> None:
    commands = host.test_cli_runner()
    assert commands.invoke(args=["demo-traffic", "--signals", "3", "--once"]).output.startswith("Played 3 signals")
    repeated = commands.invoke(args=["demo-traffic", "--signals", "3", "--once"])
    assert repeated.output == "There are signals already; nothing played.\n"
    led = commands.invoke(args=["demo-traffic", "--once", "--port", "5017"])
    assert led.output == repeated.output + commands.invoke(args=["demo-urls", "--port", "5017"]).output


def test_traffic_without_our_tables_names_the_command_that_makes_them(empty_database_url: str, tmp_path: Path) -> None:
    config = {"STATEFUL_DATABASE_URL": empty_database_url, "STATEFUL_AUTO_MIGRATE": False}
    app = create_app(config | {"STATEFUL_SPOOL_DIR": str(tmp_path / "spool")})
    result = app.test_cli_runner().invoke(args=["demo-traffic", "--once"])
    app.extensions["stateful_engine"].close(timeout=2.0)
    assert result.exit_code == 1
    assert "flask stateful db upgrade" in result.output


def test_the_printed_lines_are_the_real_addresses(host: Flask) -> None:
    lines = host.test_cli_runner().invoke(args=["demo-urls", "--port", "5017"]).output.splitlines()
    assert lines[0].split()[-1] == "http://127.0.0.1:5017/api/gpts/signal?symbol=BTCUSDT&tf=1H"
    assert lines[1].split()[-1] == "http://127.0.0.1:5017/api/gpts/state/signal-history?limit=5"
    assert lines[-1].endswith("curl -s 'http://127.0.0.1:5017/api/gpts/signal?symbol=BTCUSDT&tf=1H'")


# With the commands of a real shell


@pytest.fixture
def environment(empty_database_url: str, tmp_path: Path) -> dict[str, str]:
    """What `script/server` sets, on a database without any table."""
    return {
        **os.environ,
        "FLASK_APP": "wsgi.py",
        "FLASK_STATEFUL_AUTH": "none",
        "FLASK_STATEFUL_DASHBOARD": "true",
        "FLASK_STATEFUL_DATABASE_URL": empty_database_url,
        "FLASK_STATEFUL_SPOOL_DIR": str(tmp_path / "spool"),
    }


@pytest.fixture
def flask(environment: dict[str, str]) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "flask", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


FLASK_AT_A_TERMINAL = """
import signal
from flask.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""
"""Flask's command as a person starts it: where the tests run in the background of a shell, SIGINT would be ignored."""


@pytest.fixture
def serving(environment: dict[str, str]) -> Iterator[Callable[[], tuple[subprocess.Popen[str], str]]]:
    started: list[subprocess.Popen[str]] = []

    def serve() -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-u", "-c", FLASK_AT_A_TERMINAL, "run", "--host", "127.0.0.1", "--port", "0"]
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            found = re.search(r"Running on (http://127\.0\.0\.1:\d+)", line)
            if found:
                return process, found[1]
        raise AssertionError("flask run said no address")

    yield serve
    for process in started:
        process.kill()
        process.communicate()


def fetched(url: str) -> Any:
    with urlopen(url, timeout=30) as answer:
        return json.load(answer)


def test_migrated_filled_and_served_by_flask_commands_and_ended_by_ctrl_c(
    flask: Callable[..., str], serving: Callable[[], tuple[subprocess.Popen[str], str]]
) -> None:
    flask("db", "upgrade")
    assert flask("demo-traffic", "--signals", "20", "--once").startswith("Played 20 signals, ")
    process, address = serving()
    signal_id = fetched(f"{address}/api/gpts/signal?symbol=ETHUSDT&tf=4H")["signal_id"]
    known = fetched(f"{address}/api/gpts/state/signal/{signal_id}")["signal"]
    assert (known["symbol"], known["timeframe"]) == ("ETHUSDT", "4H")
    report = fetched(f"{address}/api/gpts/state/analytics/signals?days=60")["analytics"]
    assert report["total_signals"] == 21
    assert f"Dashboard     {address}/state/" in flask("demo-urls", "--port", address.rpartition(":")[2])
    with urlopen(f"{address}/state/?days=all", timeout=30) as answer:
        assert "n = 21 signals" in answer.read().decode()
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
