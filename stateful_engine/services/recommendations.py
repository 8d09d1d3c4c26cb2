"""`RecommendationLogger`: what the bot advised, whether it was followed, and what that brought."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from stateful_engine.domain import clock
from stateful_engine.domain.actions import fold_action
from stateful_engine.domain.numbers import parse_confidence
from stateful_engine.domain.returns import risk_reward
from stateful_engine.domain.timeframes import canonical_timeframe
from stateful_engine.errors import ConflictError, Fault, InvalidInputError, NotFoundError
from stateful_engine.recording import stamping
from stateful_engine.services import inputs
from stateful_engine.services.binding import Bound
from stateful_engine.services.conversations import unknown_conversation
from stateful_engine.storage import conversations, recommendations
from stateful_engine.storage.pages import Page
from stateful_engine.storage.recommendations import Recommendation

MORE = ("signal_id", "model", "experiment", "variant")
MAX_REASONING = 64 * 2**10


class RecommendationLogger(Bound):
    """Keeps recommendations and their results."""

    def log_recommendation(
        self,
        user_id: Any,
        symbol: str,
        direction: str,
        entry_price: float | None = None,
        stop_loss: float | None = None,
        take_profit: float | None = None,
        reasoning: str = "",
        confidence: float | None = 0,
        market_regime: str = "",
        conversation_id: int | None = None,
        generation_time: float = 0.0,
        **more: Any,
    ) -> int:
        """Record a recommendation; returns its id. The ratio of reward to risk follows from the prices.

        `more` may be `timeframe`, `signal_id`, `model`, `experiment` and `variant`. Directions are read like actions of
        signals (`buy`, `LONG`, `WAIT`); what cannot be meant raises `InvalidInputError` with every fault.
        """
        unknown = set(more) - {"timeframe", *MORE}
        if unknown:
            raise TypeError(f"log_recommendation takes no {sorted(unknown)[0]!r}; use timeframe, {', '.join(MORE)}")
        action = direction_of(direction)
        prices = {
            "entry_price": inputs.optional_level(entry_price, "entry_price"),
            "stop_loss": inputs.optional_level(stop_loss, "stop_loss"),
            "take_profit": inputs.optional_level(take_profit, "take_profit"),
        }
        talk = None if conversation_id is None else inputs.whole(conversation_id, "conversation_id")
        values = {
            "user_id": self._person(user_id),
            "symbol": inputs.instrument(symbol) or "",
            "direction": action,
            "reasoning": inputs.text(reasoning, most=MAX_REASONING),
            "confidence": confidence_of(confidence),
            **prices,
            "risk_reward": risk_reward(action, *prices.values()),
            "timeframe": canonical_timeframe(more.get("timeframe")),
            "market_regime": inputs.text(market_regime),
            "conversation_id": talk,
            "generation_time": inputs.optional_finite(generation_time, "generation_time"),
            "created_at": clock.now(),
            **stamping.columns(stamping.current()),
            **{name: inputs.text(more[name]) for name in MORE if more.get(name) is not None},
        }
        if not values["symbol"]:
            detail = "symbol is missing; send the instrument, for example XAUUSD"
            raise InvalidInputError(detail, errors=(Fault("/symbol", detail, "MISSING"),))
        with self._database.transaction() as session:
            if talk is not None and not conversations.exists(session, talk):
                raise unknown_conversation(conversation_id)
            return recommendations.insert(session, values)

    def mark_executed(self, rec_id: int, ticket: Any = None) -> None:
        """Record that a recommendation was followed; a second call with the same ticket changes nothing."""
        number = inputs.text(ticket)
        with self._database.transaction() as session:
            row = recommendations.lock(session, inputs.whole(rec_id, "rec_id"))
            if row is None:
                raise _unknown(rec_id)
            if row.executed and number is not None and row.execution_ticket not in (None, number):
                raise ConflictError(
                    f"this recommendation was executed with ticket {row.execution_ticket}; record another one instead"
                )
            if not row.executed:
                row.executed, row.execution_time = True, clock.now()
            row.execution_ticket = row.execution_ticket or number

    def update_result(self, rec_id: int, pnl: float, r_multiple: float | None = None) -> None:
        """Record what a recommendation brought; the last call stands."""
        result = inputs.finite(pnl, "pnl"), inputs.optional_finite(r_multiple, "r_multiple")
        with self._database.transaction() as session:
            row = recommendations.lock(session, inputs.whole(rec_id, "rec_id"))
            if row is None:
                raise _unknown(rec_id)
            row.result_pnl, row.result_r = result

    def get_recommendation_stats(self, days: int = 30) -> dict[str, Any]:
        """How many recommendations there were, how many were followed, and what those brought.

        `execution_rate` is in percent of **all** recommendations; `win_rate` = wins / (wins + losses) × 100.
        """
        window = inputs.days(days)
        since = clock.now() - timedelta(days=window) if window else None
        with self._database.reading() as session:
            return stats_of(recommendations.totals(session, since))

    def page(
        self, limit: int = 50, cursor: str | None = None, *, days: int = 0, user_id: Any = None, symbol: Any = None
    ) -> Page:
        """One page of recommendations, newest first; `days=0` looks at all of them."""
        person, instrument = self._anybody(user_id), inputs.text(symbol)
        return self._page(Recommendation, limit, cursor, days, user_id=person, symbol=instrument)


def stats_of(totals: Any) -> dict[str, Any]:
    """The report from the counts and averages of a window."""
    decided = totals["wins"] + totals["losses"]
    return {
        "total_recommendations": totals["total"],
        "executed_count": totals["executed"],
        "execution_rate": _percent(totals["executed"], totals["total"]),
        "avg_confidence": _rounded(totals["avg_confidence"]),
        "wins": totals["wins"],
        "losses": totals["losses"],
        "win_rate": _percent(totals["wins"], decided),
        "win_rate_n": decided,
        "avg_pnl": _rounded(totals["avg_pnl"]),
        "avg_r": _rounded(totals["avg_r"]),
    }


def direction_of(value: Any) -> str:
    """BUY, SELL or HOLD for what callers really send; raises `InvalidInputError` for anything else."""
    folded = fold_action(value)
    if folded is None:
        detail = f"{inputs.text(value, most=40)!r} is no direction; use BUY, SELL or HOLD"
        raise InvalidInputError(detail, errors=(Fault("/direction", detail),))
    return str(folded[0])


def confidence_of(value: Any) -> float | None:
    """0–100 for what callers really send; a number outside that range is refused."""
    number = parse_confidence(value)
    if number is None and isinstance(value, (int, float)):
        detail = "confidence must be from 0 to 100; send for example 85"
        raise InvalidInputError(detail, errors=(Fault("/confidence", detail),))
    return number


def _percent(part: int, whole: int) -> float:
    return round(part / whole * 100, 2) if whole else 0


def _rounded(value: float | None) -> float:
    return 0 if value is None else round(float(value), 2)


def _unknown(rec_id: Any) -> NotFoundError:
    return NotFoundError(
        f"no recommendation has the id {str(rec_id)[:40]}; use the id that log_recommendation returned",
        code="RECOMMENDATION_NOT_FOUND",
    )
