"""What the first page of the dashboard is made of: the reports on signals side by side, read at one moment.

Each part is what its own report says, made by the same functions; the rows or cells behind them are read once for all.
"""

from __future__ import annotations

from typing import Any

from stateful_engine.services import report_calibration, report_charts, report_funnel, report_signals
from stateful_engine.storage import rollup_reading
from stateful_engine.storage.rollup_reading import View, Window
from stateful_engine.storage.rollup_sql import Where

PAIRS = "symbol_timeframe"


def report(view: View, window: Window, only: Where | None, *, days: int, by: str) -> dict[str, Any]:
    """All parts over a window; `only` restricts it to some signals, `by` is what the table tells them apart by.

    `signals`, `charts` and `calibration` are those reports; `before` has the headline figures of the window of the same
    length that lies before (None for everything); `funnel` has the stages without their times; `pairs` and `breakdown`
    are cells.
    """
    dimensions = (
        *report_signals.DIMENSIONS,
        *report_charts.DIMENSIONS,
        *report_calibration.DIMENSIONS,
        *(report_signals.BREAKDOWNS[name] for name in (PAIRS, by)),
    )
    read = rollup_reading.having_read(view, window, dimensions, only)
    return {
        "signals": report_signals.report(read, window, only, days=days),
        "before": _before(view, window, only, days=days),
        "charts": report_charts.report(read, window, only, days=days),
        "calibration": report_calibration.report(read, window, only, days=days),
        "funnel": report_funnel.counts(read, window, only, days=days),
        "pairs": report_signals.breakdown(read, window, only, by=PAIRS),
        "breakdown": report_signals.breakdown(read, window, only, by=by),
    }


def _before(view: View, window: Window, only: Where | None, *, days: int) -> dict[str, Any] | None:
    if window.begin is None:
        return None
    earlier = Window(2 * window.begin - window.end, window.begin)
    return report_signals.headline(view, earlier, only, days=days)
