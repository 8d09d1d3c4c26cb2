"""`PerformanceDashboard`: the figures that a bot's `/dashboard` shows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from stateful_engine.domain import clock
from stateful_engine.services import inputs
from stateful_engine.services.binding import Bound
from stateful_engine.services.recommendations import stats_of
from stateful_engine.storage import actions, recommendations, scanner

TOP_ACTIONS = 10


class PerformanceDashboard(Bound):
    """Answers how the bot's advice did, who uses it, and what the scanner found."""

    def get_recommendation_performance(self, days: int = 30) -> dict[str, Any]:
        """The recommendation report, with `by_symbol` of the executed ones: `{symbol: {count, wins, avg_pnl}}`."""
        with self._database.reading() as session:
            since = _since(days)
            report = stats_of(recommendations.totals(session, since))
            rows = recommendations.executed_by_symbol(session, since)
        by_symbol = {
            row["symbol"]: {"count": row["count"], "wins": row["wins"], "avg_pnl": round(float(row["avg_pnl"] or 0), 2)}
            for row in rows
        }
        return {**report, "by_symbol": by_symbol}

    def get_user_engagement(self, days: int = 30) -> dict[str, Any]:
        """`total_actions`, `unique_users`, `avg_actions_per_user` and the ten most `popular_actions`."""
        with self._database.reading() as session:
            since = _since(days)
            counts = actions.counts(session, since)
            users = actions.unique_users(session, since)
        total = sum(count for _, count in counts)
        return {
            "total_actions": total,
            "unique_users": users,
            "avg_actions_per_user": round(total / users, 2) if users else 0,
            "popular_actions": dict(counts[:TOP_ACTIONS]),
        }

    def get_signal_scanner_stats(self, days: int = 7) -> dict[str, Any]:
        """`signals`: per symbol and direction `count`, `avg_confidence` and `notified_count`."""
        with self._database.reading() as session:
            rows = scanner.by_symbol(session, _since(days))
        return {
            "signals": [dict(row) | {"avg_confidence": round(float(row["avg_confidence"] or 0), 2)} for row in rows]
        }


def _since(days: int) -> datetime | None:
    window = inputs.days(days)
    return clock.now() - timedelta(days=window) if window else None
