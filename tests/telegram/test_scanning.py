"""The scanner as a job: one failing symbol stops no other, and nobody is told twice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from stateful_engine import MissingExtraError, PerformanceDashboard, StatefulEngine
from stateful_engine.telegram import ScannerJob, install
from stateful_engine.telegram.scanning import JOB_NAME, Scanning
from tests.telegram.conftest import Stage


def analysis(confidence: float = 82, **more: Any) -> dict[str, Any]:
    return {"technical_analysis": {"trade_recommendation": {"direction": "BUY", "confidence": confidence}, **more}}


def fetch(symbol: str) -> Mapping[str, Any]:
    if symbol == "BROKEN":
        raise OSError("no market")
    return analysis(82 if symbol == "XAUUSD" else 60)


def scan_with(stage: Stage, job: ScannerJob, *, bots: int = 1, rounds: int = 1) -> None:
    """Let several bots, each as its own process would be, look at the market at the same time."""

    async def act(bot: Any) -> None:
        await asyncio.gather(*(Scanning(bot, job).scan() for _ in range(bots)))

    for _ in range(rounds):
        stage.play(act=act)


def test_one_failing_symbol_stops_no_other(stage: Stage) -> None:
    scan_with(stage, ScannerJob(["BROKEN", "EURUSD", "XAUUSD"], fetch, [1, 2]))
    told = stage.api.made("sendMessage")
    assert [sent["chat_id"] for sent in told] == ["1", "2"]
    assert "Symbol: XAUUSD" in told[0]["text"]
    rows = PerformanceDashboard(stage.runtime.database).get_signal_scanner_stats()["signals"]
    assert {row["symbol"]: row["notified_count"] for row in rows} == {"EURUSD": 0, "XAUUSD": 1}


@pytest.mark.parametrize("given", [{}, {"bar_time": "2026-03-14T09:15:00Z"}])
def test_two_bots_and_many_rounds_tell_a_finding_once(stage: Stage, clock: Any, given: dict[str, Any]) -> None:
    async def asynchronous(symbol: str) -> Mapping[str, Any]:
        return analysis(**given)

    job = ScannerJob(["XAUUSD"], asynchronous, [1])
    scan_with(stage, job, bots=3, rounds=2)
    assert len(stage.api.made("sendMessage")) == 1
    clock.advance(minutes=15)
    scan_with(stage, job)
    assert len(stage.api.made("sendMessage")) == (1 if given else 2)


def test_a_chat_that_cannot_be_told_does_not_make_the_others_hear_twice(stage: Stage) -> None:
    stage.api.refuse_chats.add("1")
    scan_with(stage, ScannerJob(["XAUUSD"], fetch, [1, 2]), rounds=2)
    assert [sent["chat_id"] for sent in stage.api.made("sendMessage")] == ["1", "2"]


def test_what_reached_nobody_is_told_in_the_next_round(stage: Stage, clock: Any) -> None:
    stage.api.refuse_chats.add("1")
    job = ScannerJob(["XAUUSD"], fetch, [1])
    scan_with(stage, job)
    stage.api.refuse_chats.clear()
    scan_with(stage, job, rounds=2)
    assert len(stage.api.made("sendMessage")) == 2


def test_the_job_queue_runs_the_scanner(stage: Stage) -> None:
    job = ScannerJob(["XAUUSD"], fetch, [1], first=0.01)

    async def act(bot: Any) -> None:
        await asyncio.to_thread(stage.api.wait_for, "sendMessage")
        assert [one.name for one in bot.application.job_queue.jobs()] == [JOB_NAME]

    stage.play(act=act, scanner=job)


def test_a_bot_without_job_queue_cannot_scan(stage: Stage, engine: StatefulEngine) -> None:
    from telegram.ext import Application

    application = Application.builder().token("1:x").job_queue(None).build()
    with pytest.raises(MissingExtraError, match=r"stateful_engine\[telegram\]"):
        install(application, engine, scanner=ScannerJob(["XAUUSD"], fetch, [1]))
