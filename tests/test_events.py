"""Events: a host that listens is told after the commit, once, whoever caused them; a host's mistake stays its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from stateful_engine.events import outcome_recorded, rows_committed, signal_executed
from stateful_engine.extension import Runtime
from stateful_engine.services.outcomes import resolve_outcomes
from tests.api.calls import PREFIX, track
from tests.factories import MOMENT, FakeClock, signal_data

SOON = 10.0
HOUR_MS = 3_600_000
NEXT_HOUR = (int(MOMENT.timestamp()) // 3600 + 1) * 3600 * 1000
UP = {("BTCUSDT", "1H"): [(NEXT_HOUR, 45_000.0, 46_600.0, 44_900.0, 46_400.0)]}

Told = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def told(runtime: Runtime) -> Iterator[Told]:
    """What a host that listens to this app has been told."""
    heard: Told = []

    def on_execution(sender: Runtime, **details: Any) -> None:
        heard.append(("executed", details))

    def on_outcome(sender: Runtime, **details: Any) -> None:
        stored = sender.state_manager.get_signal(details["signal_id"])
        assert stored is not None
        assert stored["outcome"] == details["outcome"]
        heard.append(("outcome", details))

    signal_executed.connect(on_execution, sender=runtime)
    outcome_recorded.connect(on_outcome, sender=runtime)
    yield heard


def test_an_execution_and_an_outcome_are_told_once_and_corrections_again(client: FlaskClient, told: Told) -> None:
    signal_id = track(client)
    url = f"{PREFIX}/signal/{signal_id}"
    for _ in range(2):
        client.post(f"{url}/execute", json={"execution_price": 45_100.0, "source": "TELEGRAM"})
        client.post(f"{url}/outcome", json={"outcome": "WIN", "pnl_percentage": 3.0})
    client.post(f"{url}/outcome", json={"outcome": "LOSS", "pnl_percentage": -1.0, "correct": True})
    assert told == [
        ("executed", {"signal_id": signal_id, "execution_price": 45_100.0, "source": "TELEGRAM"}),
        ("outcome", {"signal_id": signal_id, "outcome": "WIN", "pnl_percentage": 3.0, "r_multiple": None}),
        ("outcome", {"signal_id": signal_id, "outcome": "LOSS", "pnl_percentage": -1.0, "r_multiple": None}),
    ]


def test_an_outcome_from_candles_is_told_like_one_by_hand(
    app: Flask, client: FlaskClient, clock: FakeClock, told: Told
) -> None:
    signal_id = track(client)
    clock.set(MOMENT + timedelta(days=1))
    with app.app_context():
        resolve_outcomes(UP, dry_run=True)
        assert told == []
        resolve_outcomes(UP)
        resolve_outcomes(UP)
    ((kind, details),) = told
    assert (kind, details["signal_id"], details["outcome"]) == ("outcome", signal_id, "WIN")
    assert details["pnl_percentage"] == pytest.approx(100 / 30)
    assert details["r_multiple"] == pytest.approx(1500 / 800)


def test_a_receiver_that_fails_is_counted_and_harms_nobody(client: FlaskClient, runtime: Runtime) -> None:
    def fail(sender: Runtime, **details: Any) -> None:
        raise ValueError("the host's own mistake")

    outcome_recorded.connect(fail, sender=runtime)
    answer = client.post(f"{PREFIX}/signal/{track(client)}/outcome", json={"outcome": "WIN"})
    assert answer.status_code == 200
    assert runtime.guard.snapshot()["failed_announce_event"] == 1


def test_another_app_is_not_told(client: FlaskClient, make_app: Any) -> None:
    heard: Told = []

    def on_outcome(sender: Runtime, **details: Any) -> None:
        heard.append(("outcome", details))

    other: Runtime = make_app().extensions["stateful_engine"]
    outcome_recorded.connect(on_outcome, sender=other)
    client.post(f"{PREFIX}/signal/{track(client)}/outcome", json={"outcome": "WIN"})
    assert heard == []


def test_a_listener_to_commits_may_read_what_was_committed_without_waiting_for_itself(
    app: Flask, runtime: Runtime
) -> None:
    seen: list[tuple[int, bool, float]] = []

    def on_commit(sender: Runtime, counts: dict[str, int]) -> None:
        began = time.monotonic()
        signals = sender.analytics.summary()["summary"]["total_signals_today"]
        caught_up = sender.flush(SOON)
        seen.append((signals, caught_up, time.monotonic() - began))

    rows_committed.connect(on_commit, sender=runtime)
    runtime.state_manager.save_signal_history(signal_data())
    assert runtime.flush(SOON)
    [(signals, caught_up, seconds)] = seen
    assert signals == 1
    assert not caught_up
    assert seconds < SOON / 2
