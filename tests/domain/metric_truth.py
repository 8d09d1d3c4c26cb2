"""Figures that other libraries assert in their own tests, from the shared folder; nothing in a clone without it."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from tests.factories import shared_cases

Case = dict[str, Any]


def _truth() -> dict[str, Any]:
    return shared_cases("truth/outcome_and_metric_cases.json") or {"metric_cases": [], "datasets": {}}


def metric_cases() -> list[Case]:
    return _truth()["metric_cases"]


def numbers_of(case: Case) -> list[float | None]:
    """The results or returns that a case is about, whichever way it gives them."""
    inputs = case["inputs"]
    for name in ("profit_abs", "profits", "profit_ratio"):
        if name in inputs:
            return inputs[name]
    data = _truth()["datasets"][inputs["dataset"]]
    if "returns" in data:
        return data["returns"]
    if "equity" in data:
        return [later / earlier - 1 for earlier, later in zip(data["equity"], data["equity"][1:], strict=False)]
    column = data["columns"].index("profit_abs" if "profit_abs" in data["columns"] else "pnl")
    return [row[column] for row in data["rows"]]


def freqtrade_days(case: Case) -> int:
    """Whole days from the first entry to the last exit."""
    data = _truth()["datasets"][case["inputs"]["dataset"]]
    opened = min(datetime.fromisoformat(row[1]) for row in data["rows"])
    return (max(datetime.fromisoformat(row[2]) for row in data["rows"]) - opened).days


def freqtrade_per_trade_ratio(case: Case, *, losers_only: bool) -> float:
    """freqtrade's Sharpe and Sortino: daily mean of the trades' returns over the spread of single trades."""
    returns = [profit / case["inputs"]["starting_balance"] for profit in numbers_of(case)]
    spread = [value for value in returns if value < 0] if losers_only else returns
    mean = math.fsum(spread) / len(spread)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in spread) / len(spread))
    return math.fsum(returns) / freqtrade_days(case) / deviation * math.sqrt(365)


def drawdown_from_the_first_close(results: list[float]) -> float:
    """freqtrade's: the height before the first trade does not count as one."""
    height, peak, deepest = 0.0, -math.inf, 0.0
    for result in results:
        height += result
        peak = max(peak, height)
        deepest = max(deepest, peak - height)
    return deepest


def compounding_sharpe(returns: list[float], *, days: int) -> float:
    """backtesting.py's: geometric yearly return over a volatility that compounds."""
    growth = math.prod(1 + value for value in returns) ** (1 / len(returns))
    mean = math.fsum(returns) / len(returns)
    variance = math.fsum((value - mean) ** 2 for value in returns) / (len(returns) - 1)
    yearly = growth**days
    volatility = math.sqrt((variance + growth**2) ** days - growth ** (2 * days))
    return (yearly - 1) / volatility
