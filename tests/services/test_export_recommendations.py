"""The training data of the bot: executed recommendations with a result, as promised column by column."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from stateful_engine import export_recommendation_training_data
from stateful_engine.errors import ConfigurationError, NotInitializedError
from stateful_engine.extension import Runtime
from stateful_engine.storage import recommendations
from tests.factories import MOMENT

COLUMNS = (
    "symbol,direction,confidence,entry_price,stop_loss,take_profit,risk_reward,market_regime,executed,result_pnl,"
    "result_r,win"
)


def log(runtime: Runtime, **changes: Any) -> None:
    values = {
        "user_id": "u",
        "symbol": "XAUUSD",
        "direction": "BUY",
        "confidence": 80.0,
        "entry_price": 2000.0,
        "stop_loss": 1990.0,
        "take_profit": 2020.0,
        "risk_reward": 2.0,
        "market_regime": "TREND",
        "executed": True,
        "result_pnl": 12.5,
        "result_r": 1.25,
        "created_at": MOMENT,
    }
    with runtime.database.transaction() as session:
        recommendations.insert(session, values | changes)


def test_executed_recommendations_with_a_result_are_written(app: Flask, runtime: Runtime, tmp_path: Path) -> None:
    log(runtime)
    log(runtime, direction="SELL", result_pnl=-5.0, result_r=None, market_regime="=1+1")
    log(runtime, result_pnl=0.0)
    log(runtime, executed=False)
    log(runtime, result_pnl=None, result_r=None)
    path = tmp_path / "data" / "ml.csv"

    with app.app_context():
        assert export_recommendation_training_data(path) == 3

    assert path.read_text("utf-8").splitlines()[:2] == [
        COLUMNS,
        "XAUUSD,BUY,80.0,2000.0,1990.0,2020.0,2.0,TREND,1,12.5,1.25,1",
    ]
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["win"], row["result_r"]) for row in rows] == [("1", "1.25"), ("0", ""), ("", "1.25")]
    assert rows[1]["market_regime"] == "'=1+1"
    assert [file.name for file in path.parent.iterdir()] == ["ml.csv"]


def test_more_recommendations_than_a_batch_come_in_order(app: Flask, runtime: Runtime, tmp_path: Path) -> None:
    with runtime.database.transaction() as session:
        for number in range(2100):
            values = {"user_id": "u", "symbol": "S", "direction": "BUY", "executed": True, "created_at": MOMENT}
            session.add(recommendations.Recommendation(**values, result_pnl=float(number + 1)))
    with app.app_context():
        assert export_recommendation_training_data(str(tmp_path / "ml.csv")) == 2100
    lines = (tmp_path / "ml.csv").read_text("utf-8").splitlines()[1:]
    assert [float(line.split(",")[9]) for line in lines] == [float(number + 1) for number in range(2100)]


def test_without_an_app_a_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotInitializedError):
        export_recommendation_training_data(tmp_path / "ml.csv")
    assert list(tmp_path.iterdir()) == []
    count = export_recommendation_training_data(tmp_path / "ml.csv", db_path=tmp_path / "journal.sqlite")
    assert (count, (tmp_path / "ml.csv").read_text("utf-8")) == (0, COLUMNS + "\n")


def test_a_path_that_cannot_be_written_is_named(app: Flask, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with app.app_context(), pytest.raises(ConfigurationError, match="name another file"):
        export_recommendation_training_data(tmp_path / "file" / "ml.csv")
