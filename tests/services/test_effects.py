"""Executions and outcomes: applied once, told truly, derived where prices allow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from stateful_engine.domain.identifiers import signal_id as new_signal_id
from stateful_engine.errors import ConflictError, InvalidInputError, SignalNotFoundError
from stateful_engine.extension import Runtime
from stateful_engine.recording.spool import HASTE

LONG = {"symbol": "BTCUSDT", "action": "BUY", "entry_price": 100.0, "stop_loss": 98.0, "take_profit": 106.0}


@pytest.fixture
def signal(runtime: Runtime) -> str:
    return runtime.state_manager.save_signal_history(LONG)


def stored(runtime: Runtime, signal_id: str) -> dict[str, Any]:
    found = runtime.state_manager.get_signal(signal_id)
    assert found is not None
    return found


def test_an_execution_marks_the_signal_and_leaves_one_interaction(runtime: Runtime, signal: str) -> None:
    first = runtime.state_manager.execute(signal, 100.5, source="TELEGRAM", user_id=7_000_000_000)
    again = runtime.state_manager.execute(signal, 101.0, source="WEB")
    assert again.interaction_id == first.interaction_id
    assert again.repeated
    found = stored(runtime, signal)
    assert (found["execution_price"], found["execution_source"]) == (100.5, "TELEGRAM")
    events = runtime.state_manager.timeline(signal)["timeline"]
    executions = [event["data"] for event in events if event["data"].get("interaction_type") == "EXECUTE"]
    assert [one["user_id"] for one in executions] == ["7000000000"]


def test_many_executions_at_once_have_one_effect(runtime: Runtime, signal: str) -> None:
    seen: list[str] = []
    start = threading.Barrier(8)

    def execute() -> None:
        start.wait()
        seen.append(runtime.state_manager.execute(signal, 100.5).interaction_id)

    threads = [threading.Thread(target=execute) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1


def test_an_exit_price_gives_pnl_r_and_the_outcome(runtime: Runtime, signal: str) -> None:
    closed = runtime.state_manager.record_outcome(signal, exit_price=105.0, closed_at="2026-01-31T12:00:00Z")
    assert closed["outcome"] == "WIN"
    assert closed["pnl_percentage"] == pytest.approx(5.0)
    assert closed["r_multiple"] == pytest.approx(2.5)
    assert closed["closed_at"] == "2026-01-31T12:00:00+00:00"
    assert (closed["exit_reason"], closed["resolved_by"]) == ("MANUAL", "manual")


def test_closing_again_with_the_same_result_changes_nothing(runtime: Runtime, signal: str) -> None:
    first = runtime.state_manager.record_outcome(signal, "WIN", pnl_percentage=5.0)
    assert runtime.state_manager.record_outcome(signal, "WIN", pnl_percentage=5.0) == first
    assert runtime.state_manager.record_outcome(signal, "WIN") == first


def test_another_result_is_a_conflict_unless_it_corrects(runtime: Runtime, signal: str) -> None:
    runtime.state_manager.record_outcome(signal, "WIN", pnl_percentage=5.0)
    with pytest.raises(ConflictError, match="send correct: true"):
        runtime.state_manager.record_outcome(signal, "LOSS", pnl_percentage=-2.0)
    with pytest.raises(ConflictError):
        runtime.state_manager.record_outcome(signal, "WIN", pnl_percentage=6.0)
    corrected = runtime.state_manager.record_outcome(signal, "LOSS", pnl_percentage=-2.0, correct=True)
    assert (corrected["outcome"], corrected["pnl_percentage"]) == ("LOSS", -2.0)


def test_a_correction_to_pending_opens_the_signal_again(runtime: Runtime, signal: str) -> None:
    runtime.state_manager.record_outcome(signal, exit_price=105.0)
    opened = runtime.state_manager.record_outcome(signal, "PENDING", correct=True)
    assert opened["outcome"] == "PENDING"
    assert [opened[name] for name in ("pnl_percentage", "exit_price", "r_multiple", "closed_at")] == [None] * 4


@pytest.mark.parametrize(
    "report",
    [
        {"outcome": "MAYBE"},
        {"outcome": "WIN", "pnl_percentage": -1.0},
        {"outcome": "LOSS", "pnl_percentage": 1.0},
        {"outcome": "WIN", "pnl_percentage": float("nan")},
        {"exit_price": 0},
        {"closed_at": "yesterday", "outcome": "WIN"},
        {},
    ],
)
def test_a_report_that_cannot_be_meant_changes_nothing(runtime: Runtime, signal: str, report: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        runtime.state_manager.record_outcome(signal, **report)
    assert stored(runtime, signal)["outcome"] == "PENDING"


def test_an_unknown_signal_is_told_at_once(runtime: Runtime) -> None:
    started = time.monotonic()
    for unknown in ("sig_a1b2c3d4e5f6_1691234567", "x' OR 1=1 --", "\u0000", "ü" * 500):
        with pytest.raises(SignalNotFoundError):
            runtime.state_manager.execute(unknown, 1.0)
    assert time.monotonic() - started < runtime.settings.effect_wait


def test_an_effect_waits_for_a_signal_that_another_process_is_still_bringing(
    make_app: Callable[..., Flask], tmp_path: Path
) -> None:
    options: dict[str, Any] = {"STATEFUL_EFFECT_WAIT": 10, "STATEFUL_SPOOL_DIR": str(tmp_path / "spool")}
    here, there = (make_app(**options).extensions["stateful_engine"] for _ in range(2))
    there.state_manager.save_signal_history(LONG)
    signal_id = new_signal_id()
    done: list[str] = []
    waiting = threading.Thread(target=lambda: done.append(here.state_manager.execute(signal_id, 1.0).signal_id))
    waiting.start()
    while waiting.is_alive() and not (tmp_path / "spool" / HASTE).exists():
        waiting.join(timeout=0.01)
    assert waiting.is_alive(), "whoever has the signal is asked to make haste, and waited for"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stateful_engine.domain.identifiers.signal_id", lambda: signal_id)
        there.state_manager.save_signal_history(LONG, durable=True)
    waiting.join(timeout=10)
    assert done == [signal_id]


def test_cleanup_forgets_what_is_older_than_asked_and_only_counts_on_a_dry_run(runtime: Runtime, clock: Any) -> None:
    runtime.state_manager.save_signal_history(LONG, durable=True)
    clock.advance(days=10)
    kept = runtime.state_manager.save_signal_history(LONG, durable=True)
    counted = runtime.state_manager.cleanup_old_data(5, dry_run=True)
    assert (counted["deleted_signals"], counted["deleted_interactions"]) == (1, 1)
    deleted = runtime.state_manager.cleanup_old_data(5)
    assert (deleted["deleted_signals"], deleted["deleted_interactions"]) == (1, 1)
    assert [one["signal_id"] for one in runtime.state_manager.get_signal_history()] == [kept]


@pytest.mark.parametrize("days", [0, -1, 1.5, "all", None])
def test_cleanup_refuses_to_wipe_everything(runtime: Runtime, days: Any) -> None:
    runtime.state_manager.save_signal_history(LONG, durable=True)
    with pytest.raises(InvalidInputError):
        runtime.state_manager.cleanup_old_data(days)
    assert len(runtime.state_manager.get_signal_history()) == 1
