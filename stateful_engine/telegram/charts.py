"""The picture that goes with `/dashboard`; needs the extra `charts`."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from stateful_engine.telegram.library import require_charts

MOST_BARS = 12
GAIN, LOSS = "#2e7d32", "#c62828"


def performance_chart(by_symbol: Mapping[str, Mapping[str, Any]], *, days: int) -> bytes | None:
    """A PNG with the summed result per symbol, from `get_recommendation_performance()["by_symbol"]`.

    The symbols that moved most are shown, at most twelve; None when there is nothing to show. Raises
    `MissingExtraError` without matplotlib. No global state of matplotlib is used, so threads may draw at once.
    """
    require_charts()
    from matplotlib.figure import Figure

    sums = {symbol: float(row["avg_pnl"]) * int(row["count"]) for symbol, row in by_symbol.items()}
    if not sums:
        return None
    shown = sorted(sorted(sums, key=lambda symbol: -abs(sums[symbol]))[:MOST_BARS], key=sums.__getitem__)
    figure = Figure(figsize=(7, 1.2 + 0.42 * len(shown)), layout="constrained")
    axes = figure.subplots()
    colours = [GAIN if sums[symbol] >= 0 else LOSS for symbol in shown]
    axes.barh([_label(symbol) for symbol in shown], [sums[symbol] for symbol in shown], color=colours)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_title(f"Result of executed recommendations, {days} days")
    axes.set_xlabel("sum of result_pnl")
    return _png(figure)


def _label(symbol: str) -> str:
    """A symbol as plain text: a dollar sign would begin a formula."""
    return symbol[:24].replace("$", r"\$")


def _png(figure: Any) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    return picture.getvalue()
