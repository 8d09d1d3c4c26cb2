"""Which signals deserve trust: the reports over signals, queries and interactions.

A window ends now and begins `days` days ago (0 = everything), by `created_at` in UTC, its end exclusive.
`execution_rate` = executed / total × 100; `closed` = WIN + LOSS + BREAKEVEN; `win_rate` = WIN / (WIN + LOSS) × 100 with
its n and a 95 % Wilson interval. Without data, counts and the promised rates are 0 with n = 0, all else is None.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from stateful_engine.domain import clock
from stateful_engine.services import inputs
from stateful_engine.storage import figures, gpt_queries, interactions, signals

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from stateful_engine.config import Settings
    from stateful_engine.recording.recorder import Recorder
    from stateful_engine.storage.cache import Cache
    from stateful_engine.storage.database import Database

Report = Callable[["Session", "datetime | None", int], dict[str, Any]]

REPORTS_OF_TABLE = {
    signals.TABLE: ("signals", "summary"),
    gpt_queries.TABLE: ("queries", "summary"),
    interactions.TABLE: ("interactions", "summary"),
}
TOP = 10


class Analytics:
    """The reports of one app, each cached until a write changes its answer."""

    def __init__(self, database: Database, cache: Cache, settings: Settings, recorder: Recorder) -> None:
        self._database = database
        self._cache = cache
        self._settings = settings
        self._recorder = recorder

    def signals(self, days: int = 30) -> dict[str, Any]:
        """How many signals there were, how many were acted on, and how they ended."""
        return self._cached("signals", days, _signals)

    def queries(self, days: int = 7) -> dict[str, Any]:
        """How many queries there were, how fast and how well they were answered."""
        return self._cached("queries", days, _queries)

    def interactions(self, days: int = 7) -> dict[str, Any]:
        """What people did, through which doors, and how many people."""
        return self._cached("interactions", days, _interactions)

    def summary(self) -> dict[str, Any]:
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
        for kind in {kind for table in tables for kind in REPORTS_OF_TABLE.get(table, ())}:
            self._cache.invalidate(kind)

    def _cached(self, kind: str, days: int, report: Report) -> dict[str, Any]:
        window = inputs.days(days)
        self._recorder.catch_up()
        key = f"analytics:{kind}:{window}d"
        return self._cache.remember(key, self._settings.cache_seconds, lambda: self._made(report, window))

    def _made(self, report: Report, window: int) -> dict[str, Any]:
        since = clock.now() - timedelta(days=window) if window else None
        with self._database.reading() as session:
            return report(session, since, window)


def _signals(session: Session, since: datetime | None, days: int) -> dict[str, Any]:
    total = figures.signals(session, since, None)[0]
    closed = total["win"] + total["loss"] + total["breakeven"]
    return {
        "period_days": days,
        "total_signals": total["total"],
        "executed_signals": total["executed"],
        "execution_rate": percent(total["executed"], total["total"]) or 0,
        "winning_signals": total["win"],
        "losing_signals": total["loss"],
        "breakeven_signals": total["breakeven"],
        "pending_signals": total["pending"],
        "closed_signals": closed,
        "win_rate": percent(total["win"], total["win"] + total["loss"]) or 0,
        "avg_confidence": rounded(total["avg_confidence"]) or 0,
        "avg_pnl": rounded(total["avg_pnl"]) or 0,
        "avg_r": rounded(total["avg_r"]),
        "top_symbols": [_named("symbol", row) for row in _largest(figures.signals(session, since, None, "symbol"))],
        "by_timeframe": _split(session, since, "timeframe"),
        "by_action": _split(session, since, "action"),
        "by_engine": _split(session, since, "source_engine"),
        "by_market_conditions": _split(session, since, "market_conditions"),
        "by_day": _by_day(figures.moments(session, signals.SignalHistory.created_at, since, None)),
    }


def _named(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: row["key"],
        "count": row["total"],
        "avg_confidence": rounded(row["avg_confidence"]),
        "win_rate": percent(row["win"], row["win"] + row["loss"]),
        "n": row["win"] + row["loss"],
    }


def _split(session: Session, since: datetime | None, column: str) -> dict[str, Any]:
    rows = _largest(figures.signals(session, since, None, column), most=50)
    return {str(row["key"]): _named("value", row) for row in rows if row["key"] is not None}


def _largest(rows: Any, *, most: int = TOP) -> list[Any]:
    return sorted(rows, key=lambda row: (-row["total"], str(row["key"])))[:most]


def _queries(session: Session, since: datetime | None, days: int) -> dict[str, Any]:
    total = figures.queries(session, since, None)[0]
    times = figures.latencies(session, since, None)
    return {
        "period_days": days,
        "total_queries": total["total"],
        "successful_queries": total["successful"],
        "success_rate": percent(total["successful"], total["total"]) or 0,
        "avg_processing_time_ms": rounded(total["avg_processing_time_ms"]) or 0,
        **{f"p{rank}_processing_time_ms": nearest_rank(times, rank) for rank in (50, 95, 99)},
        "tokens": total["tokens"],
        "cost_usd": None if total["cost_usd"] is None else float(total["cost_usd"]),
        "top_endpoints": [
            {"endpoint": row["key"], "count": row["total"], "success_rate": percent(row["successful"], row["total"])}
            for row in _largest(figures.queries(session, since, None, "endpoint"))
        ],
        "by_status": _counts(figures.queries(session, since, None, "response_status")),
        "by_model": _counts(figures.queries(session, since, None, "ai_model_used")),
        "by_day": _by_day(figures.moments(session, gpt_queries.GPTQueryLog.created_at, since, None)),
        "unique_conversations": total["unique_conversations"],
        "unique_users": total["unique_users"],
    }


def _interactions(session: Session, since: datetime | None, days: int) -> dict[str, Any]:
    total = figures.interactions(session, since, None)[0]
    return {
        "period_days": days,
        "total_interactions": total["total"],
        "by_type": _counts(figures.interactions(session, since, None, "interaction_type")),
        "by_source": _counts(figures.interactions(session, since, None, "interaction_source")),
        "unique_users": total["unique_users"],
        "by_day": _by_day(figures.moments(session, interactions.UserInteraction.created_at, since, None)),
    }


def _counts(rows: Any) -> dict[str, int]:
    return {str(row["key"]): row["total"] for row in rows if row["key"] is not None}


def _by_day(moments: list[datetime]) -> list[dict[str, Any]]:
    days = Counter(moment.date().isoformat() for moment in moments)
    return [{"day": day, "count": count} for day, count in sorted(days.items())]


def percent(part: int, whole: int) -> float | None:
    """`part` of `whole` in percent to two decimals; None of nothing."""
    return round(part / whole * 100, 2) if whole else None


def rounded(value: float | None) -> float | None:
    """A figure to two decimals; None stays None."""
    return None if value is None else round(float(value), 2)


def nearest_rank(ascending: list[float], rank: int) -> float | None:
    """The percentile by the nearest-rank method."""
    return rounded(ascending[math.ceil(rank / 100 * len(ascending)) - 1]) if ascending else None
