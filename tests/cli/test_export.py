"""`flask stateful export`: files with a manifest, cut as asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flask import Flask

from stateful_engine.extension import Runtime
from tests.factories import FakeClock, signal_data


@pytest.fixture(autouse=True)
def ten_days_of_signals(runtime: Runtime, clock: FakeClock) -> None:
    for _ in range(10):
        signal_id = runtime.state_manager.save_signal_history(signal_data(), durable=True)
        clock.advance(days=1)
        runtime.state_manager.record_outcome(signal_id, "WIN", pnl_percentage=1.0)


def run(app: Flask, *arguments: str, code: int = 0) -> str:
    result = app.test_cli_runner().invoke(args=["stateful", "export", *arguments])
    assert result.exit_code == code, result.output
    return str(result.output)


def rows_in(path: Path) -> int:
    return path.read_text("utf-8").count("\n") - 1


def test_signals_are_exported_with_a_manifest(app: Flask, tmp_path: Path) -> None:
    shown = run(app, "--output", str(tmp_path))
    assert (
        f"10 rows  {json.loads((tmp_path / 'signals-manifest.json').read_bytes())['files'][0]['sha256'][:12]}" in shown
    )
    assert rows_in(tmp_path / "signals.csv") == 10


def test_a_split_with_an_embargo_says_what_it_left_out(app: Flask, tmp_path: Path) -> None:
    shown = run(app, "signals", "--output", str(tmp_path), "--split", "0.5,0.5", "--embargo", "36h")
    assert "left out: purged" in shown
    assert "left out: embargoed" in shown
    assert (rows_in(tmp_path / "signals-train.csv"), rows_in(tmp_path / "signals-test.csv")) == (4, 3)


def test_a_window_and_a_format_can_be_chosen(app: Flask, tmp_path: Path) -> None:
    run(app, "interactions", "--output", str(tmp_path), "--days", "3", "--format", "jsonl")
    assert len((tmp_path / "interactions.jsonl").read_bytes().splitlines()) == 3
    run(app, "--output", str(tmp_path), "--since", "2026-03-15", "--until", "2026-03-17", "--labelled-only")
    assert rows_in(tmp_path / "signals.csv") == 2


def test_what_cannot_be_meant_ends_with_the_remedy(app: Flask, tmp_path: Path) -> None:
    folder = ("--output", str(tmp_path / "out"))
    assert "such as 0.7,0.15,0.15" in run(app, *folder, "--split", "most", code=2)
    assert "add up to 1" in run(app, *folder, "--split", "0.5,0.1", code=1)
    window = ("--since", "2026-02-01", "--until", "2026-01-01")
    assert "ends before it begins" in run(app, *folder, *window, code=1)
    assert "write it as 90m" in run(app, *folder, "--embargo", "long", code=1)
    assert not (tmp_path / "out").exists()
