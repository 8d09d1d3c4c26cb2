"""`flask stateful resolve`: an operator closes what candles have closed, and is told about the rest."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from stateful_engine.extension import Runtime
from tests.factories import MOMENT, FakeClock, signal_data

NEXT_HOUR_MS = (int(MOMENT.timestamp()) // 3600 + 1) * 3_600_000
UP = (45_000.0, 46_600.0, 44_900.0, 46_400.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    candles = tmp_path / "candles"
    candles.mkdir()
    with (candles / "BTCUSDT-1h.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("ts", "open", "high", "low", "close", "volume"), (NEXT_HOUR_MS, *UP, 1.0)])
    return candles


@pytest.fixture
def signals(runtime: Runtime, clock: FakeClock) -> list[str]:
    """One that can be closed, one HOLD, and one that there are no candles for."""
    kinds: list[dict[str, Any]] = [{}, {"action": "HOLD"}, {"symbol": "ETHUSDT"}]
    ids = [runtime.state_manager.save_signal_history(signal_data(**changes), durable=True) for changes in kinds]
    clock.advance(days=1)
    return ids


def outcome(runtime: Runtime, signal_id: str) -> str:
    found = runtime.state_manager.get_signal(signal_id)
    assert found is not None
    return str(found["outcome"])


def run(app: Flask, *arguments: str, code: int = 0) -> str:
    result = app.test_cli_runner().invoke(args=["stateful", "resolve", *arguments])
    assert result.exit_code == code, result.output
    return str(result.output)


def test_signals_are_closed_and_the_table_says_why_others_are_not(
    app: Flask, runtime: Runtime, folder: Path, signals: list[str]
) -> None:
    shown = run(app, "--candles", str(folder))
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    for line in (
        "closed 1",
        "WIN 1",
        "by 1 TP",
        "still open 2",
        "1 HOLD is no trade",
        "1 there are no candles of its symbol and timeframe",
    ):
        assert line in lines
    assert [outcome(runtime, signal_id) for signal_id in signals] == ["WIN", "PENDING", "PENDING"]
    assert "closed 0" in " ".join(run(app, "--candles", str(folder)).split())


def test_a_dry_run_only_shows(app: Flask, runtime: Runtime, folder: Path, signals: list[str]) -> None:
    assert "would be closed 1" in " ".join(run(app, "--candles", str(folder), "--dry-run").split())
    assert outcome(runtime, signals[0]) == "PENDING"


def test_the_folder_may_be_configured(make_app: Callable[..., Flask], folder: Path, signals: list[str]) -> None:
    app = make_app(STATEFUL_CANDLES=str(folder))
    assert "closed 1" in " ".join(run(app, "--expiry", "3d", "--policy", "optimistic").split())


def test_what_cannot_be_meant_ends_with_the_remedy(app: Flask, folder: Path, tmp_path: Path) -> None:
    assert "set STATEFUL_CANDLES" in run(app, code=2)
    assert "no folder" in run(app, "--candles", str(tmp_path / "missing"), code=1)
    assert "write it as 90m" in run(app, "--candles", str(folder), "--expiry", "soon", code=1)
    assert "hopeful" in run(app, "--candles", str(folder), "--policy", "hopeful", code=2)
