"""`flask stateful check-shape`: what a body would record, and what to correct."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

OWN_SHAPE = {"found": [{"pair": "BTCUSDT", "side": "BUY", "px": 100.0}, {"pair": "ETHUSDT", "side": "SELL", "px": 5.0}]}
MAPPING = ("-m", "signals=found", "-m", "symbol=pair", "-m", "action=side", "-m", "entry_price=px")


@pytest.fixture
def body(tmp_path: Path) -> str:
    path = tmp_path / "body.json"
    path.write_text(json.dumps(OWN_SHAPE), encoding="utf-8")
    return str(path)


def run(app: Flask, *arguments: str) -> Any:
    result = app.test_cli_runner().invoke(args=["stateful", "check-shape", *arguments])
    assert result.exit_code == 0, result.output
    return result


def test_a_mapping_that_fits_yields_the_signals_and_no_complaint(app: Flask, body: str) -> None:
    done = run(app, body, *MAPPING)
    assert [signal["symbol"] for signal in json.loads(done.stdout)] == ["BTCUSDT", "ETHUSDT"]
    assert done.stderr == "2 signals\n"


def test_a_path_that_leads_nowhere_is_named_with_its_field(app: Flask, body: str) -> None:
    done = run(app, body, *MAPPING, "-m", "stop_loss=risk.stop")
    assert "risk.stop: leads nowhere in this body; correct the path of stop_loss" in done.stderr
    assert "correct the path of symbol" not in done.stderr
