"""The charts of the dashboard: data in, inline SVG out, without a script, a style attribute or a library.

Every chart has a title and a description in words; without data each is a sentence that says so. Their looks are in
`static/charts.css`.
"""

from stateful_engine.dashboard.svg_grids import Cell, Day, Dot, calendar, heat_map, scatter
from stateful_engine.dashboard.svg_lines import Level, Series, candles, drawdown, line_with_drawdown, sparkline
from stateful_engine.dashboard.svg_shares import Bin, Share, funnel, histogram, outcome_mix, reliability

__all__ = [
    "Bin",
    "Cell",
    "Day",
    "Dot",
    "Level",
    "Series",
    "Share",
    "calendar",
    "candles",
    "drawdown",
    "funnel",
    "heat_map",
    "histogram",
    "line_with_drawdown",
    "outcome_mix",
    "reliability",
    "scatter",
    "sparkline",
]
