"""The report on signals: how many there were, what became of them, and which kinds of them deserve trust.

`closed` = WIN + LOSS + BREAKEVEN; `win_rate` = WIN / (WIN + LOSS). Averages of results are over closed signals whose
result is known, those beyond `domain.amounts`' limits excepted. What says something about risk is in R where R is known
as often as percent, else in percent: `risk_unit` says which.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Any

from stateful_engine.domain import amounts, clock, metrics
from stateful_engine.domain.periods import LENGTH, Grain
from stateful_engine.domain.vocabulary import Breakdown
from stateful_engine.services.report_figures import (
    THIN,
    WEEKDAYS,
    Figures,
    average,
    day_text,
    interval,
    percent,
    rate,
    rounded,
    shown,
)
from stateful_engine.storage import figures
from stateful_engine.storage.rollup_measures import SEPARATOR
from stateful_engine.storage.rollup_reading import Answer, Split, View, Window
from stateful_engine.storage.rollup_sql import Where

TOP = 10
MOST_CELLS = 100
"""A split names at most so many values, the most frequent ones."""

MOST_VALUES = 1000
"""A breakdown names at most so many values, the most frequent ones."""

FEW_TRADES = 2000
"""Up to so many closed signals the curve of results is followed trade by trade, beyond day by day."""

SPLITS = {
    "by_timeframe": "timeframe",
    "by_action": "action",
    "by_engine": "source_engine",
    "by_market_conditions": "market_conditions",
}
DIMENSIONS = ("symbol", *SPLITS.values(), "closed_on")


def report(view: View, window: Window, only: Where | None, *, days: int) -> dict[str, Any]:
    """The whole report over a window; `only` restricts it to some signals."""
    answer = view.read(window, DIMENSIONS, only)
    symbols = answer.split("symbol")
    return {
        **_headline(view, window, only, answer, days=days),
        "top_symbols": _top(symbols),
        "best_symbols": _best(symbols, "symbol"),
        "best_engines": _best(answer.split("source_engine"), "engine"),
        **{name: _cells(answer.split(dimension)) for name, dimension in SPLITS.items()},
        "by_day": [_day(*found) for found in answer.days.of(*_OF_DAYS)],
    }


def headline(view: View, window: Window, only: Where | None, *, days: int) -> dict[str, Any]:
    """The figures of the report that are about all signals together."""
    return _headline(view, window, only, view.read(window, ("closed_on",), only), days=days)


def _headline(view: View, window: Window, only: Where | None, answer: Answer, *, days: int) -> dict[str, Any]:
    total = answer.total
    return {
        "period_days": days,
        **_outcomes(total),
        "avg_confidence": average(total["confidence"], total["confidence_n"]) or 0.0,
        **_results(total),
        **_risk(view, window, only, answer),
    }


def _outcomes(total: Figures) -> dict[str, Any]:
    wins, losses = total["win"], total["loss"]
    closed = wins + losses + total["breakeven"]
    return {
        "total_signals": total["total"],
        "executed_signals": total["executed"],
        **rate("execution_rate", total["executed"], total["total"]),
        "winning_signals": wins,
        "losing_signals": losses,
        "breakeven_signals": total["breakeven"],
        "unfilled_signals": total["unfilled"],
        "pending_signals": total["total"] - closed - total["unfilled"],
        "closed_signals": closed,
        **rate("win_rate", wins, wins + losses),
        "win_rate_all": percent(wins, closed),
        "win_rate_bounds": _bounds(total),
        "ambiguous_wins": total["ambiguous_win"],
        "ambiguous_losses": total["ambiguous_loss"],
    }


def _bounds(total: Figures) -> list[float] | None:
    """How low and how high the win rate may truly be where some outcomes rest on a policy."""
    doubtful = {"ambiguous_wins": total["ambiguous_win"], "ambiguous_losses": total["ambiguous_loss"]}
    bounds = metrics.win_rate_bounds(total["win"], total["loss"], **doubtful)
    return None if bounds is None else [round(bounds.low * 100, 2), round(bounds.high * 100, 2)]


def _results(total: Figures) -> dict[str, Any]:
    """What closed signals brought on average; the expectancy in the unit in which it is known more often."""
    pnl, r = average(total["pnl"], total["pnl_n"]), average(total["r"], total["r_n"])
    name = _basis(total)
    return {
        "avg_pnl": pnl,
        "avg_pnl_n": total["pnl_n"],
        "avg_r": r,
        "avg_r_n": total["r_n"],
        "total_r": rounded(total["r"] / amounts.MICRO, 4) if total["r_n"] else None,
        "expectancy": r if name == "r" else pnl,
        "expectancy_n": total[f"{name}_n"],
        "expectancy_ci": _expectancy_interval(total, name),
        "profit_factor": rounded(_profit_factor(total, name)),
        "profit_factor_unbounded": bool(total[f"{name}_gain"]) and not _lost(total, name),
        "break_even_win_rate": rounded(_break_even(total, name)),
    }


def _expectancy_interval(total: Figures, name: str) -> list[float] | None:
    """The 95 % interval of the mean result (mean ± 1.96 · std / √n); None below 20 results, where it would not hold."""
    n, deviation = total[f"{name}_n"], _deviation(total, name)
    if n < THIN or deviation is None:
        return None
    mean, reach = total[name] / n, metrics.Z_95 * deviation / math.sqrt(n)
    return [round((mean - reach) / amounts.MICRO, 2), round((mean + reach) / amounts.MICRO, 2)]


def _break_even(total: Figures, name: str) -> float | None:
    """As `metrics.break_even_win_rate`, in percent, from sums: what a win brings against what a loss costs on average.

    None unless the results of all signals that won or lost are known, and some did either.
    """
    wins, losses = total["win"], total["loss"]
    if not wins or not losses or total[f"{name}_n"] != wins + losses + total["breakeven"]:
        return None
    gain, loss = total[f"{name}_gain"] / wins, _lost(total, name) / losses
    return 100 * loss / (gain + loss) if gain + loss else None


def _basis(total: Figures) -> str:
    """`r` where it is known as often as `pnl`; R compares trades of different risk, percent does not."""
    return "r" if total["r_n"] >= total["pnl_n"] else "pnl"


def _lost(total: Figures, name: str) -> int:
    return total[f"{name}_gain"] - total[name]


def _profit_factor(total: Figures, name: str) -> float | None:
    return metrics.profit_factor_of_sums(total[f"{name}_gain"], _lost(total, name))


def _risk(view: View, window: Window, only: Where | None, answer: Answer) -> dict[str, Any]:
    name = _basis(answer.total)
    daily = _daily(answer, name, window)
    trades = _trades(view, window, only, answer.total, name)
    results = daily if trades is None else [result for _, result in trades]
    moments = None if trades is None else [moment for moment, _ in trades]
    return {
        "risk_unit": None if not answer.total[f"{name}_n"] else "R" if name == "r" else "%",
        "max_drawdown": rounded(metrics.max_drawdown(results, closed_at=moments), 4),
        "current_drawdown": rounded(metrics.current_drawdown(results, closed_at=moments), 4),
        "drawdown_step": ("day" if trades is None else "trade") if daily else None,
        "sharpe": rounded(metrics.sharpe(daily), 4),
        "sortino": rounded(metrics.sortino(daily), 4),
        "sqn": rounded(sqn(answer.total, name), 4),
    }


def _daily(answer: Answer, name: str, window: Window) -> list[float]:
    """Results by closing day, days without any being 0: from the first day with a signal to the last of the window.

    Signals of a window that is over may end after it. What ended in the future (by a clock that is wrong) counts today.
    """
    closings = {int(day): amount for day, n, amount in answer.split("closed_on").of(f"{name}_n", name) if n}
    if not closings:
        return []
    today, end = (moment // LENGTH[Grain.DAY] for moment in (clock.epoch_us(), window.end - 1))
    last = min(today, max(end, *closings))
    first = min(next(iter(answer.days)), last)
    totals = [0] * (last - first + 1)
    for day, amount in closings.items():
        totals[min(max(day, first), last) - first] += amount
    return [total / amounts.MICRO for total in totals]


def _trades(
    view: View, window: Window, only: Where | None, total: Figures, name: str
) -> list[tuple[float, float]] | None:
    """Closing times and results one by one; None when they are many, or no longer all there."""
    if total[f"{name}_n"] > FEW_TRADES:
        return None
    found = figures.closed_trades(view.connection, window.where(*([only] if only else [])))
    column = 2 if name == "r" else 1
    trades = [(float(row[0]), amount / amounts.MICRO) for row in found if (amount := row[column]) is not None]
    return trades if len(trades) == total[f"{name}_n"] else None


def sqn(total: Figures, name: str) -> float | None:
    """As `metrics.sqn`, from sums: √n · mean / std (ddof 1), None below 30 trades or without variation."""
    n, deviation = total[f"{name}_n"], _deviation(total, name)
    if n < metrics.SQN_MINIMUM or not deviation:
        return None
    return math.sqrt(n) * (total[name] / n) / deviation


def _deviation(total: Figures, name: str) -> float | None:
    """The standard deviation of results (ddof 1) from their sums, in millionths; None of fewer than two."""
    n, amount = total[f"{name}_n"], total[name]
    if n < 2:
        return None
    squares = total[f"{name}_square_high"] * amounts.SQUARE_BASE + total[f"{name}_square_low"]
    return math.sqrt((n * squares - amount * amount) / (n * (n - 1)))


def cell(found: Figures) -> dict[str, Any]:
    """What the signals that have one value in a dimension amount to; `thin` when fewer than 20 of them were decided."""
    confidence, win_rate, pnl, r = _rates(_OF_RATES(found))
    n = found["win"] + found["loss"]
    return {
        "count": found["total"],
        "executed": found["executed"],
        "winning": found["win"],
        "losing": found["loss"],
        "avg_confidence": confidence,
        "win_rate": win_rate,
        "win_rate_ci": interval(found["win"], n),
        "n": n,
        "thin": n < THIN,
        "avg_pnl": pnl,
        "avg_r": r,
        "avg_r_n": found["r_n"],
    }


_OF_RATES = itemgetter("confidence", "confidence_n", "win", "loss", "pnl", "pnl_n", "r", "r_n")


@lru_cache(maxsize=4096)
def _rates(sums: tuple[int, ...]) -> tuple[float | None, ...]:
    """What is divided and rounded, once while the sums stay what they are, as those of most cells do for a while."""
    confidence, confidence_n, win, loss, pnl, pnl_n, r, r_n = sums
    return average(confidence, confidence_n), percent(win, win + loss), average(pnl, pnl_n), average(r, r_n)


def _most_frequent(split: Split, most: int) -> list[tuple[str, Figures]]:
    order = sorted(split.of("total"), key=lambda found: (-found[1], found[0]))
    return [(value, split[value]) for value, _ in order[:most]]


def _top(symbols: Split) -> list[dict[str, Any]]:
    return [{"symbol": value or None, **cell(found)} for value, found in _most_frequent(symbols, TOP)]


def _cells(split: Split) -> dict[str, dict[str, Any]]:
    return {shown(value): cell(found) for value, found in _most_frequent(split, MOST_CELLS)}


def _best(split: Split, name: str) -> list[dict[str, Any]]:
    """Cells by what their win rate is at least (the lower Wilson bound), thin ones left out: luck is no merit."""
    found = split.of("win", "loss", "total")
    enough = [(_merit(*each), each[0]) for each in found if each[0] and each[1] + each[2] >= THIN]
    return [{name: value, **cell(split[value])} for _, value in sorted(enough)[:TOP]]


def _merit(value: Any, wins: int, losses: int, total: int) -> tuple[float, int, str]:
    """Puts cells in order by the lower Wilson bound of their win rate, the best first, then those with more signals."""
    return (-_lower_bound(wins, wins + losses), -total, str(value))


@lru_cache(maxsize=4096)
def _lower_bound(wins: int, n: int) -> float:
    """The lower Wilson bound of a win rate, below all others where nothing was decided."""
    bounds = metrics.wilson_interval(wins, n)
    return bounds.low if bounds else -1.0


_OF_DAYS = ("total", "executed", "win", "loss", "pnl", "pnl_n", "r", "r_n")


def _day(day: int, total: int, executed: int, win: int, loss: int, *results: int) -> dict[str, Any]:
    _, win_rate, pnl, r = _rates((0, 0, win, loss, *results))
    return {
        "day": day_text(day),
        "count": total,
        "executed": executed,
        "winning": win,
        "losing": loss,
        "win_rate": win_rate,
        "avg_pnl": pnl,
        "avg_r": r,
    }


_DIMENSIONS = {
    Breakdown.ENGINE.value: "source_engine",
    Breakdown.MODEL.value: "ai_model",
    Breakdown.SYMBOL_TIMEFRAME.value: "pair",
}
BREAKDOWNS = {one.value: _DIMENSIONS.get(one.value, one.value) for one in Breakdown}
"""What signals can be told apart by, and the dimension that stands for it."""


def breakdown(view: View, window: Window, only: Where | None, *, by: str) -> list[dict[str, Any]]:
    """One cell per value of `by`, the best first by the lower Wilson bound; thin cells are marked, not left out.

    Of very many values only the most frequent thousand are told.
    """
    split = _split_by(view, window, only, by)
    frequent = sorted(split.items(), key=lambda found: (-found[1]["total"], found[0]))[:MOST_VALUES]
    found = sorted(frequent, key=lambda each: _merit(each[0], *(each[1][name] for name in ("win", "loss", "total"))))
    return [{**_named(by, value), **cell(figures_of_value)} for value, figures_of_value in found]


def _split_by(view: View, window: Window, only: Where | None, by: str) -> Mapping[Any, Figures]:
    if by == "hour":
        return _added_up((number % 24, found) for number, found in view.hours_of_week(window, only).items())
    if by == "weekday":
        return _added_up(((day + 3) % 7, found) for day, found in view.read(window, (), only).days.items())
    dimension = BREAKDOWNS[by]
    return view.read(window, (dimension,), only).split(dimension)


def _added_up(parts: Iterable[tuple[int, Figures]]) -> dict[int, Figures]:
    found: dict[int, dict[str, int]] = {}
    for key, figures_of_part in parts:
        sums = found.setdefault(key, {})
        for name, amount in figures_of_part.items():
            sums[name] = sums.get(name, 0) + amount
    return dict(found)


def _named(by: str, value: Any) -> dict[str, Any]:
    """A value as a reader expects it: weekdays by name, bins of confidence by their ends, yes and no as such."""
    if by == "weekday":
        return {"value": WEEKDAYS[value]}
    if by == "executed":
        return {"value": value == "1"}
    if by == "confidence" and value:
        low = int(value) * 10
        return {"value": f"{low}-{100 if low == 90 else low + 9}"}
    if by == "symbol_timeframe":
        symbol, timeframe = value.split(SEPARATOR)
        return {
            "value": f"{shown(symbol)} {shown(timeframe)}",
            "symbol": symbol or None,
            "timeframe": timeframe or None,
        }
    return {"value": value if isinstance(value, int) else (value or None)}
