"""What the first page of the dashboard shows, gathered from the reports that the API gives: the same numbers.

Only the lists of signals and the sample of excursions are read from rows, and both are bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stateful_engine.domain.vocabulary import Outcome
from stateful_engine.errors import Fault, InvalidInputError
from stateful_engine.services import inputs, report_filters
from stateful_engine.storage import figures

if TYPE_CHECKING:
    from stateful_engine.services.analytics import Analytics, Report
    from stateful_engine.services.state_manager import StateManager
    from stateful_engine.storage.database import Database

BREAKDOWNS = {
    "confidence": "confidence",
    "regime": "market_conditions",
    "model": "model",
    "prompt": "prompt_version",
    "engine": "engine",
    "symbol": "symbol",
}
"""What the table tells signals apart by, and how the reports call that."""

COLUMNS = ("value", "count", "executed", "n", "win_rate", "avg_confidence", "avg_pnl", "avg_r")
"""What the table can be put in order by."""

FILTERS = ("symbol", "timeframe", "action", "engine", "model", "executed", "min_confidence")

OPEN, RECENT = 10, 10
SAMPLE = figures.SAMPLE


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody wants to see: a window in days (0: everything), some signals, and a table in some order.

    Without `sort` the table stands as the reports give it: by what the win rate is at least.
    """

    days: int = 30
    filters: Mapping[str, Any] = field(default_factory=dict)
    by: str = "confidence"
    sort: str | None = None
    descending: bool = True

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> Question:
        """The question behind a query string; empty values are left out.

        Raises `InvalidInputError` for values that cannot be meant.
        """
        given = {name: value.strip() for name, value in asked.items() if value.strip()}
        return cls(
            days=0 if given.get("days") == "all" else inputs.days(given.get("days", 30)),
            filters={name: given[name] for name in FILTERS if name in given},
            by=_one_of("by", given.get("by", "confidence"), BREAKDOWNS),
            sort=_one_of("sort", given["sort"], COLUMNS) if "sort" in given else None,
            descending=given.get("order") != "asc",
        )


class Overview:
    """Gathers the first page of one app."""

    def __init__(self, analytics: Analytics, manager: StateManager, database: Database) -> None:
        self._analytics = analytics
        self._manager = manager
        self._database = database

    def report(self, asked: Question) -> dict[str, Any]:
        """All of it: the parts of `report_overview.report`, its `breakdown` in the order asked for, and besides

        `excursions` (the latest closed signals), `open` and `recent` (signals), `choices` (what the filters may be set
        to).
        """
        found = self._analytics.overview(asked.days, by=BREAKDOWNS[asked.by], **asked.filters)
        return {
            **found,
            "breakdown": _in_order(found["breakdown"], asked),
            "excursions": self._excursions(asked.days, asked.filters),
            "open": self._newest(asked, OPEN, outcome=Outcome.PENDING.value, is_trade=True),
            "recent": self._newest(asked, RECENT),
            "choices": self._choices(asked, found),
        }

    def _excursions(self, days: int, filters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The latest closed signals, at most `SAMPLE`, whose furthest way against and in favour is known."""
        given = report_filters.conditions(filters)
        with self._database.reading() as session:
            return figures.excursions(session.connection(), given, since=inputs.window_start(days))

    def _newest(self, asked: Question, limit: int, **more: Any) -> list[dict[str, Any]]:
        given = report_filters.conditions(asked.filters)
        wanted = self._manager.signal_filters(
            days=asked.days,
            symbol=given.symbol_raw,
            timeframe=given.timeframe,
            action=given.action,
            source_engine=given.source_engine,
            ai_model=given.ai_model,
            is_executed=given.executed,
            min_confidence=given.min_confidence,
            **more,
        )
        return self._manager.signal_page(wanted, None, limit).items

    def _choices(self, asked: Question, found: Report) -> dict[str, list[str]]:
        """What the window has, whatever is chosen: the most frequent first."""
        every = self._analytics.overview(asked.days) if asked.filters else found
        signals = every["signals"]
        return {
            "symbol": [cell["symbol"] for cell in signals["top_symbols"] if cell["symbol"]],
            "timeframe": _said(signals["by_timeframe"]),
            "engine": _said(signals["by_engine"]),
            "model": _said(every["calibration"]["by_model"]),
        }


def _said(cells: Mapping[str, Any]) -> list[str]:
    """The values of a dimension, without the one that stands for nothing said."""
    return [value for value in cells if not value.startswith("(")]


def _in_order(cells: list[dict[str, Any]], asked: Question) -> list[dict[str, Any]]:
    """Cells in the order asked for; those that say nothing come last, whichever way."""
    name = asked.sort
    if name is None:
        return cells
    known = [cell for cell in cells if cell[name] is not None]
    ordered = sorted(known, key=lambda cell: cell[name], reverse=asked.descending)
    return ordered + [cell for cell in cells if cell[name] is None]


def _one_of(name: str, value: str, known: Any) -> str:
    if value in known:
        return value
    detail = f"{name} cannot be {value[:40]!r}; use one of {', '.join(known)}"
    raise InvalidInputError(detail, errors=(Fault(f"/{name}", detail),))
