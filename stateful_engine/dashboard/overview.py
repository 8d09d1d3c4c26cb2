"""The first page: what the signals of a window are worth, and on how many of them that rests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Any

from flask import request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from stateful_engine.dashboard import formats, svg
from stateful_engine.dashboard.rendering import render
from stateful_engine.domain.timeframes import candle_milliseconds
from stateful_engine.domain.vocabulary import Action
from stateful_engine.services.overview import BREAKDOWNS, FILTERS, SAMPLE, Overview, Question
from stateful_engine.services.report_figures import THIN, WEEKDAYS

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

Report = Mapping[str, Any]

PARAMETERS = ("days", *FILTERS, "by", "sort", "order")
PERIODS = (("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("all", "everything"))
MOST_ROWS = 12
"""The map of symbols shows the most frequent ones."""

TABLE = (
    ("count", "Signals"),
    ("executed", "Executed"),
    ("n", "Won or lost"),
    ("win_rate", "Win rate"),
    ("avg_confidence", "Confidence"),
    ("avg_pnl", "Avg %"),
    ("avg_r", "Avg R"),
)
BY_NAMES = {
    "confidence": "Confidence",
    "regime": "Market regime",
    "model": "Model",
    "prompt": "Prompt version",
    "engine": "Engine",
    "symbol": "Symbol",
}


IN_RISK_UNIT = {"expectancy", "profit_factor", "max_drawdown"}


@dataclass(frozen=True, slots=True)
class Card:
    """A figure that is looked at first: what it rests on, and how it was in the window before.

    `tone` says whether the change is `good` or `bad`; empty where it is neither, or rests on few cases.
    """

    title: str
    value: str
    note: str
    change: str | None
    tone: str
    thin: bool


def view(runtime: Runtime) -> ResponseReturnValue:
    """The overview of the window and the signals that the query string asks for."""
    asked = Question.of(request.args)
    found = Overview(runtime.analytics, runtime.state_manager, runtime.database).report(asked)
    return render(
        "overview.html",
        asked=asked,
        report=found["signals"],
        calibration=found["calibration"],
        funnel=found["funnel"],
        cards=cards(found["signals"], found["before"]),
        pictures=pictures(found),
        excursions=found["excursions"],
        sample=SAMPLE,
        breakdown=found["breakdown"],
        columns=columns(asked),
        download=url_for(".download", name="breakdown", **_given({"sort": None, "order": None})),
        breakdowns=[(by, BY_NAMES[by], _link(by=by, sort=None, order=None)) for by in BREAKDOWNS],
        open_signals=found["open"],
        recent=found["recent"],
        choices=found["choices"],
        periods=PERIODS,
        actions=[action.value for action in Action],
        chosen={name: request.args.get(name, "").strip() for name in PARAMETERS},
    )


# The cards


def cards(now: Report, before: Report | None) -> list[Card]:
    """The six figures that are looked at first; `before` is the report on the window before."""
    unit = now["risk_unit"] or "R"
    return [
        _card("Total R", now, before, "total_r", "avg_r_n", unit="R", note=_of_closed(now)),
        _card("Expectancy", now, before, "expectancy", "expectancy_n", unit=unit, note=_expectancy_note(now, unit)),
        _card("Win rate", now, before, "win_rate", "win_rate_n", unit="%", note=_win_note(now)),
        _card("Profit factor", now, before, "profit_factor", "expectancy_n", unit="", note=_factor_note(now)),
        _card("Max drawdown", now, before, "max_drawdown", "expectancy_n", unit=unit, note=_drawdown_note(now, unit)),
        _card("Execution rate", now, before, "execution_rate", "execution_rate_n", unit="%", note=_acted_note(now)),
    ]


def _card(title: str, now: Report, before: Report | None, name: str, n: str, *, unit: str, note: str) -> Card:
    value = now[name] if now[n] else None
    earlier = before[name] if before and before[n] and _same_unit(name, now, before) else None
    sign = formats.signed if name in {"total_r", "expectancy"} else formats.number
    thin = now[n] < THIN
    tone = "" if thin or not before or before[n] < THIN else _tone(name, value, earlier)
    change = _change(value, earlier, unit, before)
    if before and not _same_unit(name, now, before):
        change = f"the {before['period_days']} days before are counted in {before['risk_unit']}"
    return Card(title, _with_unit(sign(value), unit), note, change, tone, thin)


def _same_unit(name: str, now: Report, before: Report) -> bool:
    """Whether a figure means the same in both windows: some are in percent where a closed signal has no known R."""
    units = {now["risk_unit"], before["risk_unit"]}
    return name not in IN_RISK_UNIT or None in units or len(units) == 1


def _tone(name: str, value: Any, earlier: Any) -> str:
    """Whether a figure became better or worse; acting on more signals is neither."""
    if value is None or earlier is None or value == earlier or name == "execution_rate":
        return ""
    return "good" if (value > earlier) != (name == "max_drawdown") else "bad"


def _with_unit(text: str, unit: str) -> str:
    return f"{text} {unit}" if unit and text != formats.UNKNOWN else text


def _change(value: Any, earlier: Any, unit: str, before: Report | None) -> str | None:
    """How much it is above or below the window before; None where there is none to compare with."""
    if before is None:
        return None
    if value is None or earlier is None:
        return f"nothing to compare with in the {before['period_days']} days before"
    points = "points" if unit == "%" else unit
    difference = round(value - earlier, 4)
    arrow = "▲" if difference > 0 else "▼" if difference < 0 else "="
    moved = _with_unit(formats.signed(difference), points) if difference else "no change"
    return f"{arrow} {moved} (was {_with_unit(formats.number(earlier), unit)})"


def _of_closed(now: Report) -> str:
    return f"of {formats.number(now['avg_r_n'])} signals closed with a known R"


def _expectancy_note(now: Report, unit: str) -> str:
    bounds = now["expectancy_ci"]
    interval = f"95 % {formats.interval(bounds)} {unit}, " if bounds else ""
    return f"per closed signal, {interval}n = {formats.number(now['expectancy_n'])}"


def _win_note(now: Report) -> str:
    bounds, needed = now["win_rate_ci"], now["break_even_win_rate"]
    interval = f"95 % {formats.interval(bounds)} %, " if bounds else ""
    even = f"; breaks even at {formats.percent(needed)}" if needed is not None else ""
    return f"{interval}n = {formats.number(now['win_rate_n'])}{even}"


def _factor_note(now: Report) -> str:
    if now["profit_factor_unbounded"]:
        return "gains and no loss: no ratio yet"
    return "gains over losses; above 1 earns"


def _drawdown_note(now: Report, unit: str) -> str:
    present, step = now["current_drawdown"], now["drawdown_step"]
    if present is None:
        return "deepest fall of the cumulative result"
    return f"now {_with_unit(formats.number(present), unit)} below the height; followed {step} by {step}"


def _acted_note(now: Report) -> str:
    bounds = now["execution_rate_ci"]
    interval = f", 95 % {formats.interval(bounds)} %" if bounds else ""
    return f"{formats.number(now['executed_signals'])} of {formats.number(now['total_signals'])} signals{interval}"


# The pictures

CURVES = {"all": "all signals", "executed": "executed"}


def pictures(found: Report) -> dict[str, Markup]:
    """All charts of the page by name."""
    charts, signals = found["charts"], found["signals"]
    curves = charts["r_by_day"]
    rows, frames, pairs = _pairs(found["pairs"])
    return {
        "curve": svg.line_with_drawdown(
            [_series("all signals", curves["all"]), _series("executed", curves["executed"])]
        ),
        "reliability": svg.reliability(found["calibration"]["reliability"]),
        "histogram": svg.histogram([svg.Bin(**one) for one in charts["r_histogram"]]),
        "mix": svg.outcome_mix(_shares(signals)),
        "pairs": svg.heat_map(rows, frames, pairs, title="Average R by symbol and timeframe"),
        "hours": _hours(charts["by_weekday_hour"]),
        "scatter": svg.scatter([_dot(row) for row in found["excursions"]]),
        "calendar": svg.calendar(
            [svg.Day(date.fromisoformat(one["day"]), one["r"], one["closed"]) for one in curves["all"]]
        ),
        "funnel": svg.funnel(found["funnel"]["stages"]),
    }


def _series(name: str, days: Sequence[Report]) -> svg.Series:
    """A cumulative curve, which begins at 0 on the day before the first."""
    points = [(_epoch(one["day"]), one["cumulative_r"]) for one in days]
    start = [(points[0][0] - 86_400.0, 0.0)] if points else []
    return svg.Series(name, [*start, *points])


def _day(one: Report) -> svg.Day:
    return svg.Day(date.fromisoformat(one["day"]), one["r"], one["closed"])


def _epoch(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=timezone.utc).timestamp()


def _shares(now: Report) -> list[svg.Share]:
    return [
        svg.Share("WIN", now["winning_signals"], now["ambiguous_wins"]),
        svg.Share("LOSS", now["losing_signals"], now["ambiguous_losses"]),
        svg.Share("BREAKEVEN", now["breakeven_signals"]),
        svg.Share("UNFILLED", now["unfilled_signals"]),
        svg.Share("PENDING", now["pending_signals"]),
    ]


def _pairs(cells: Sequence[Report]) -> tuple[list[str], list[str], dict[tuple[str, str], svg.Cell]]:
    """The most frequent symbols, all their timeframes from short to long, and the cells of both."""
    counts: dict[str, int] = {}
    for one in cells:
        counts[one["symbol"] or "–"] = counts.get(one["symbol"] or "–", 0) + one["count"]
    rows = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))[:MOST_ROWS]
    found = {(one["symbol"] or "–", one["timeframe"] or "–"): _cell(one) for one in cells}
    shown = {pair: cell for pair, cell in found.items() if pair[0] in rows}
    frames = sorted({frame for _, frame in shown}, key=lambda frame: (candle_milliseconds(frame) or 0, frame))
    return rows, frames, shown


def _hours(cells: Sequence[Report]) -> Markup:
    hours = [f"{hour:02}:00" for hour in range(24)]
    days = [day[:3] for day in WEEKDAYS]
    found = {(hours[one["hour"]], one["weekday"][:3]): _cell(one) for one in cells}
    rows = [hour for hour in hours if any((hour, day) in found for day in days)]
    return svg.heat_map(rows, days, found, compact=True, title="Average R by hour (UTC) and weekday")


def _cell(one: Report) -> svg.Cell:
    return svg.Cell(one["avg_r"], one["avg_r_n"], thin=one["avg_r_n"] < THIN)


def _dot(row: Report) -> svg.Dot:
    label = f"{row['symbol'] or '–'} {row['timeframe'] or ''} {row['action']}: {formats.r(row['r_multiple'])}"
    return svg.Dot(row["mae_r"], row["mfe_r"], row["outcome"], label)


# The table


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: its link puts the table in its order, the other way round when it is already."""

    name: str
    title: str
    link: str
    order: str | None


def columns(asked: Question) -> list[Column]:
    """The columns of the table, the first being what it tells signals apart by."""
    named = (("value", BY_NAMES[asked.by]), *TABLE)
    return [_column(name, title, asked) for name, title in named]


def _column(name: str, title: str, asked: Question) -> Column:
    if asked.sort != name:
        return Column(name, title, _link(sort=name, order="asc" if name == "value" else None), None)
    turned = "asc" if asked.descending else None
    return Column(name, title, _link(sort=name, order=turned), "descending" if asked.descending else "ascending")


def _link(**changes: str | None) -> str:
    """This page with other parameters; None takes one away."""
    return url_for(".overview", _anchor="breakdown", **_given(changes))


def _given(changes: Mapping[str, str | None]) -> dict[str, Any]:
    """The parameters of this page with some changed; None takes one away."""
    asked = {name: request.args.get(name, "").strip() for name in PARAMETERS} | dict(changes)
    return {name: value for name, value in asked.items() if value}
