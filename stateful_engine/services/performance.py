"""`PerformanceDashboard`: the figures that a bot's `/dashboard` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

from stateful_engine.domain import clock
from stateful_engine.domain.vocabulary import Outcome
from stateful_engine.services import inputs
from stateful_engine.services.binding import Bound
from stateful_engine.services.recommendations import stats_of
from stateful_engine.storage import actions, conversations, recommendations, scanner, signals

TOP_ACTIONS = 10
MOST_DAYS = 366
MOST_WEEKS = 26


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

    def get_daily_activity(self, days: int = 30) -> list[dict[str, Any]]:
        """How many people did how much on each `day` (UTC) of at most a year: `users` and `actions`, oldest first.

        Days on which nobody did anything are 0, between the first and the last day with any.
        """
        window = min(inputs.days(days) or MOST_DAYS, MOST_DAYS)
        with self._database.reading() as session:
            found = actions.by_day(session, _since(window), MOST_DAYS + 1)
        known = {day: (users, count) for day, users, count in found}
        return [
            {"day": day, "users": known.get(day, (0, 0))[0], "actions": known.get(day, (0, 0))[1]}
            for day in _days_between(found)
        ]

    def get_retention(self, weeks: int = 8) -> list[dict[str, Any]]:
        """Who came back: for each `week` (its Monday, UTC) the `people` first seen in it, and `returned`, how many of
        these were seen again in the first, second, … week after it.

        A person counts as first seen in the window of whole weeks, also who was there before it.
        """
        this_monday = clock.now().date() - timedelta(days=clock.now().weekday())
        first = this_monday - timedelta(weeks=inputs.limit(weeks, most=MOST_WEEKS) - 1)
        with self._database.reading() as session:
            rows = actions.by_first_week(session, datetime.combine(first, time.min, timezone.utc))
        seen = {(begin, week): people for begin, week, people in rows}
        mondays = [first + timedelta(weeks=count) for count in range(weeks)]
        return [
            {
                "week": monday.isoformat(),
                "people": seen.get((monday.isoformat(), monday.isoformat()), 0),
                "returned": [seen.get((monday.isoformat(), later.isoformat()), 0) for later in mondays[place + 1 :]],
            }
            for place, monday in enumerate(mondays)
        ]

    def get_signal_scanner_stats(self, days: int = 7) -> dict[str, Any]:
        """`signals`: per symbol and direction `count`, `avg_confidence` and `notified_count`."""
        with self._database.reading() as session:
            rows = scanner.by_symbol(session, _since(days))
        return {
            "signals": [dict(row) | {"avg_confidence": round(float(row["avg_confidence"] or 0), 2)} for row in rows]
        }

    def get_costs(self, days: int = 30) -> dict[str, Any]:
        """What the models cost: in all, by model, user and day, and per signal of the window that won.

        Costs are US dollars; `unknown_cost` counts answers whose price is not known, which are in no sum. Without any
        known cost the sums are None, never 0.
        """
        since = _since(days)
        with self._database.reading() as session:
            total = conversations.costs(session, since)[0]
            split = {f"by_{by}": conversations.costs(session, since, by) for by in ("model", "user_id", "day")}
            won = signals.count_outcomes(session, since, Outcome.WIN.value)
        cost = total["cost_usd"]
        return {
            **_cost_figures(total),
            **{name: {str(row["key"]): _cost_figures(row) for row in rows} for name, rows in split.items()},
            "winning_signals": won,
            "cost_per_winning_signal": round(float(cost) / won, 9) if won and cost is not None else None,
        }


def _cost_figures(row: Mapping[str, Any]) -> dict[str, Any]:
    cost = row["cost_usd"]
    return {
        "messages": row["messages"],
        "tokens": int(row["tokens"]),
        "cost_usd": None if cost is None else round(float(cost), 9),
        "unknown_cost": row["unknown_cost"],
    }


def _days_between(found: Sequence[tuple[str, int, int]]) -> list[str]:
    """Every day from the first to the last of some, ISO 8601."""
    if not found:
        return []
    first, last = date.fromisoformat(found[0][0]), date.fromisoformat(found[-1][0])
    return [(first + timedelta(days=count)).isoformat() for count in range((last - first).days + 1)]


def _since(days: int) -> datetime | None:
    window = inputs.days(days)
    return clock.now() - timedelta(days=window) if window else None
