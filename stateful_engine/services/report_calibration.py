"""The report on calibration: does a confidence of 80 win 80 times in 100, and whose does?

Forecasts are the signals of the window that won or lost and stated a confidence from 0 to 100. Figures are withheld
(null) below the n at which they begin to mean something; `minimum_n` says which.
"""

from __future__ import annotations

from typing import Any

from stateful_engine.domain import amounts, calibration
from stateful_engine.services.report_figures import interval, percent, rounded, shown
from stateful_engine.storage.rollup_measures import SEPARATOR
from stateful_engine.storage.rollup_reading import Split, View, Window
from stateful_engine.storage.rollup_sql import Where

Cells = dict[float, tuple[int, int]]


DIMENSIONS = ("forecast",)


def report(view: View, window: Window, only: Where | None, *, days: int) -> dict[str, Any]:
    """The whole report over a window; `only` restricts it to some signals."""
    split = view.read(window, DIMENSIONS, only).split("forecast")
    return {
        "period_days": days,
        **_figures(_forecasts(split)),
        "by_engine": {shown(name): _figures(cells) for name, cells in _grouped(split, 1).items()},
        "by_model": {shown(name): _figures(cells) for name, cells in _grouped(split, 2).items()},
    }


def _forecasts(split: Split) -> Cells:
    return next(iter(_grouped(split, None).values()), {})


def _grouped(split: Split, part: int | None) -> dict[str, Cells]:
    """Wins and losses by probability, for each engine (part 1) or model (part 2), or for all together."""
    groups: dict[str, Cells] = {}
    for value, found in sorted(split.items()):
        parts = value.split(SEPARATOR)
        cells = groups.setdefault("" if part is None else parts[part], {})
        probability = int(parts[0]) / (100 * amounts.MICRO)
        wins, losses = cells.get(probability, (0, 0))
        cells[probability] = (wins + found["win"], losses + found["loss"])
    return groups


def _figures(cells: Cells) -> dict[str, Any]:
    found = calibration.report_of_cells(cells)
    return {
        "n": found.n,
        "wins": found.wins,
        "win_rate": percent(found.wins, found.n),
        "win_rate_ci": interval(found.wins, found.n),
        "brier": rounded(found.brier, 4),
        "brier_skill": rounded(found.brier_skill, 4),
        "expected_calibration_error": rounded(found.expected_calibration_error, 4),
        "auc": rounded(found.auc, 4),
        "overconfidence": rounded(found.overconfidence, 4),
        "minimum_n": dict(found.minimum_n),
        "reliability": [_row(row) for row in found.table],
    }


def _row(row: calibration.ReliabilityBin) -> dict[str, Any]:
    """One bin of stated against observed, in percent."""
    return {
        "low": row.low,
        "high": row.high,
        "n": row.n,
        "wins": row.wins,
        "mean_confidence": rounded(None if row.mean_confidence is None else row.mean_confidence * 100),
        "win_rate": percent(row.wins, row.n),
        "win_rate_ci": interval(row.wins, row.n),
    }
