"""Which signals deserve trust: the reports over signals, queries and interactions.

A window ends now and begins `days` days ago (0 = everything), by `created_at` in UTC, its end exclusive. Every rate has
its n and a 95 % Wilson interval. Without data, counts and the promised rates are 0 with n = 0, all else is None.

A report is kept in the cache until a write changes what it says. Writes of this process, and with Redis of any process,
are known at once; those of others are noticed within a second, by `revision`: a number in the database that grows with
every write, and that each report carries.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from stateful_engine.domain import clock
from stateful_engine.domain.periods import LENGTH, Grain
from stateful_engine.errors import Fault, InvalidInputError, StorageUnavailableError
from stateful_engine.services import (
    inputs,
    report_calibration,
    report_charts,
    report_filters,
    report_funnel,
    report_interactions,
    report_overview,
    report_queries,
    report_signals,
)
from stateful_engine.storage import funnel_days, rollup_marks, rollup_reading
from stateful_engine.storage.rollup_measures import INTERACTIONS, QUERIES, SIGNALS, Family
from stateful_engine.storage.rollup_reading import Foreseen, Overtaken, View, Window

if TYPE_CHECKING:
    from stateful_engine.config import Settings
    from stateful_engine.recording.recorder import Recorder
    from stateful_engine.storage.cache import Cache
    from stateful_engine.storage.database import Database

Report = dict[str, Any]
Make = Callable[[View, Window], Report]

LOOK_AGAIN_SECONDS = 1.0
"""How long what other processes wrote may go unnoticed."""

TABLES_OF_REPORT: Mapping[str, tuple[Family, ...]] = {
    "signals": (SIGNALS,),
    "calibration": (SIGNALS,),
    "charts": (SIGNALS,),
    "funnel": (SIGNALS, INTERACTIONS),
    "overview": (SIGNALS, INTERACTIONS),
    "queries": (QUERIES,),
    "interactions": (INTERACTIONS,),
}
"""What each report is read from; the first is counted by its window."""

FOLLOWED = ("funnel", "overview")
"""Reports that follow signals on their way."""


class Analytics:
    """The reports of one app, each cached until a write changes its answer."""

    def __init__(self, database: Database, cache: Cache, settings: Settings, recorder: Recorder) -> None:
        self._database = database
        self._cache = cache
        self._settings = settings
        self._recorder = recorder
        self._revisions = Revisions(database)

    def signals(self, days: int = 30, *, by: str | None = None, days_ago: int = 0, **filters: Any) -> Report:
        """How many signals there were, how many were acted on, how they ended and what they brought.

        `filters` are those of `report_filters.conditions`, such as `symbol`, `engine` or `executed`. With `by` (one of
        them, or `symbol_timeframe` for pairs of both) the report has a `breakdown`: a cell per value, the best first by
        the lower Wilson bound of its win rate. The window ends `days_ago` days ago, so that `signals(30, days_ago=30)`
        is the month to compare the last one with.
        """
        given = report_filters.conditions(filters)

        def make(view: View, window: Window) -> Report:
            only = given.where(view.connection) if given.given() else None
            found = report_signals.report(view, window, only, days=inputs.days(days))
            if by is not None:
                found |= {"by": by, "breakdown": report_signals.breakdown(view, window, only, by=by)}
            return found

        if by is not None and by not in report_signals.BREAKDOWNS:
            raise _unknown_breakdown(by)
        ago = inputs.days(days_ago)
        extra = report_filters.key_of(given) + (f":by_{by}" if by else "") + (f":{ago}d_ago" if ago else "")
        ahead = () if given.given() or ago else report_signals.DIMENSIONS
        return self._cached("signals", days, make, extra=extra, days_ago=ago, ahead=ahead)

    def queries(self, days: int = 7) -> Report:
        """How many queries there were, how fast and how well they were answered, and what they cost."""
        return self._cached(
            "queries", days, lambda view, window: report_queries.report(view, window, days=inputs.days(days))
        )

    def interactions(self, days: int = 7) -> Report:
        """What people did, through which doors, and how many people."""
        return self._cached(
            "interactions", days, lambda view, window: report_interactions.report(view, window, days=inputs.days(days))
        )

    def charts(self, days: int = 30, **filters: Any) -> Report:
        """What charts are drawn from: R by closing day (of all and of executed signals), its spread, hours of the week.

        See `report_charts.report` for the shapes; breakdowns are told by `signals(by=…)`.
        """
        given = report_filters.conditions(filters)

        def make(view: View, window: Window) -> Report:
            return report_charts.report(view, window, given.where(view.connection), days=inputs.days(days))

        return self._cached("charts", days, make, extra=report_filters.key_of(given))

    def overview(self, days: int = 30, *, by: str = "confidence", **filters: Any) -> Report:
        """The reports that the first page of the dashboard is made of, read at one moment; see `report_overview`."""
        given = report_filters.conditions(filters)
        if by not in report_signals.BREAKDOWNS:
            raise _unknown_breakdown(by)

        def make(view: View, window: Window) -> Report:
            return report_overview.report(view, window, given.where(view.connection), days=inputs.days(days), by=by)

        return self._cached("overview", days, make, extra=f"{report_filters.key_of(given)}:by_{by}")

    def calibration(self, days: int = 30, **filters: Any) -> Report:
        """Whether stated confidence may be trusted: reliability by bin, Brier, ECE, AUC; by engine and by model."""
        given = report_filters.conditions(filters)

        def make(view: View, window: Window) -> Report:
            return report_calibration.report(view, window, given.where(view.connection), days=inputs.days(days))

        return self._cached("calibration", days, make, extra=report_filters.key_of(given))

    def funnel(self, days: int = 30, **filters: Any) -> Report:
        """How far signals came: generated, seen, executed, closed, with conversions and median times."""
        given = report_filters.conditions(filters)

        def make(view: View, window: Window) -> Report:
            return report_funnel.report(view, window, given.where(view.connection), days=inputs.days(days))

        return self._cached("funnel", days, make, extra=report_filters.key_of(given))

    def summary(self) -> Report:
        """The reports of a day, a week and a month side by side, and the six figures that matter first."""
        daily, weekly, monthly = (self.signals(days=days) for days in (1, 7, 30))
        queries, acted = self.queries(days=7), self.interactions(days=7)
        return {
            "signals": {"daily": daily, "weekly": weekly, "monthly": monthly},
            "queries": queries,
            "interactions": acted,
            "summary": {
                "total_signals_today": daily["total_signals"],
                "total_signals_week": weekly["total_signals"],
                "execution_rate_week": weekly["execution_rate"],
                "win_rate_month": monthly["win_rate"],
                "query_success_rate": queries["success_rate"],
                "total_interactions_week": acted["total_interactions"],
            },
        }

    def invalidate(self, tables: Mapping[str, int]) -> None:
        """Forget the reports that writes to `tables` have changed."""
        self._revisions.forget()
        for kind, families in TABLES_OF_REPORT.items():
            if any(family.source in tables for family in families):
                self._cache.invalidate(kind)

    def _cached(
        self, kind: str, days: int, make: Make, *, extra: str = "", days_ago: int = 0, ahead: tuple[str, ...] = ()
    ) -> Report:
        """A report from the cache, or made; of a window that ends now, the dimensions `ahead` will be read."""
        window = inputs.days(days)
        self._recorder.catch_up()
        key = f"analytics:{kind}:{window}d{extra}"
        kept = self._cache.get(key)
        if kept is not None:
            if self._is_current(kind, kept):
                return dict(kept)
            self._cache.delete(key)
        seconds = self._settings.cache_seconds
        return self._cache.remember(key, seconds, lambda: self._made(kind, make, window, days_ago, ahead=ahead))

    def _is_current(self, kind: str, kept: Any) -> bool:
        """Whether a kept value is a report of ours that nothing was written after."""
        revision = kept.get("revision") if isinstance(kept, dict) else None
        return isinstance(revision, int) and revision >= self._revisions.of(TABLES_OF_REPORT[kind])

    def _made(self, kind: str, make: Make, days: int, days_ago: int, *, ahead: tuple[str, ...]) -> Report:
        families = TABLES_OF_REPORT[kind]
        if kind in FOLLOWED:
            self._keep_days(days)
        window = _window(clock.epoch_us(), days)
        foreseen = Foreseen(window, ahead) if ahead and days else None
        with suppress(Overtaken), rollup_reading.view(self._database, *families, foreseen=foreseen) as view:
            if not view.has_read(window):
                window = _window(clock.epoch_us(), days, days_ago)
            now = window.end - 1 + days_ago * LENGTH[Grain.DAY]
            report = make(view, window)
            return {**report, "as_of": clock.from_epoch_us(now).isoformat(), "revision": view.revision}
        return self._made(kind, make, days, days_ago, ahead=())

    def _keep_days(self, days: int) -> None:
        """Have the days of the funnel counted; where nobody may write now, they are read signal by signal."""
        with suppress(StorageUnavailableError):
            funnel_days.catch_up(self._database, clock.epoch_us() - days * LENGTH[Grain.DAY] if days else None)


def _window(now: int, days: int, days_ago: int = 0) -> Window:
    end = now + 1 - days_ago * LENGTH[Grain.DAY]
    return Window(end - days * LENGTH[Grain.DAY] if days else None, end)


class Revisions:
    """How often each table was written to, by any process; looked up again after a second."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._known: Mapping[str, int] = {}
        self._until = 0.0

    def of(self, families: Iterable[Family]) -> int:
        """A number that grows with every write to these tables. While the database is away, the last one known."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._known = self._read()
                self._until = time.monotonic() + LOOK_AGAIN_SECONDS
            return sum(self._known.get(family.source, 0) for family in families)

    def forget(self) -> None:
        """Look again at the next question."""
        self._until = 0.0

    def _read(self) -> Mapping[str, int]:
        try:
            with self._database.reading() as session:
                return rollup_marks.revisions(session.connection())
        except StorageUnavailableError:
            return self._known


def _unknown_breakdown(by: str) -> InvalidInputError:
    known = ", ".join(report_signals.BREAKDOWNS)
    detail = f"signals cannot be told apart by {by[:40]!r}; use one of {known}"
    return InvalidInputError(detail, errors=(Fault("/by", detail),))
