"""`export_recommendation_training_data`: what executed recommendations brought, as one CSV to learn from."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stateful_engine.errors import ConfigurationError
from stateful_engine.services.binding import Bound
from stateful_engine.services.export_files import neutral
from stateful_engine.storage import recommendations

if TYPE_CHECKING:
    from stateful_engine.storage.recommendations import Recommendation

COLUMNS = (
    "symbol",
    "direction",
    "confidence",
    "entry_price",
    "stop_loss",
    "take_profit",
    "risk_reward",
    "market_regime",
    "executed",
    "result_pnl",
    "result_r",
    "win",
)


class _TrainingData(Bound):
    """The rows of the file, read in batches."""

    def rows(self) -> Iterator[list[Any]]:
        with self._database.reading() as session:
            for found in recommendations.finished(session):
                yield _row(found)


def export_recommendation_training_data(
    output_path: str | os.PathLike[str] = "data/ml_training_data.csv",
    *,
    db_path: str | os.PathLike[str] | None = None,
    database_url: str | None = None,
) -> int:
    """Write executed recommendations with a result to a CSV, oldest first; returns how many there are.

    `executed` and `win` are 1 or 0; `win` is empty where the result is neither profit nor loss. Reads from the current
    app, or from `db_path` or `database_url`. Missing folders are made; the file appears when it is whole.
    """
    source, path = _TrainingData(db_path=db_path, database_url=database_url), Path(output_path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _replace(path, source)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written ({error.strerror}); name another file") from error


def _replace(path: Path, source: _TrainingData) -> int:
    part = path.with_name(f".{path.name}.part")
    try:
        count = _write(part, source)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return count


def _write(path: Path, source: _TrainingData) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in source.rows():
            writer.writerow([neutral(cell) if isinstance(cell, str) else cell for cell in row])
            count += 1
    return count


def _row(found: Recommendation) -> list[Any]:
    pnl = found.result_pnl
    values = [getattr(found, name) for name in COLUMNS[:8]]
    won = int(pnl > 0) if pnl else None
    return [*values, int(found.executed), pnl, found.result_r, won]
