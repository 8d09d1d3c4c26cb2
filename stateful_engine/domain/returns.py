"""What a trade brought, from its prices: percent of the entry, and multiples of the risk that was taken."""

from __future__ import annotations

from stateful_engine.domain.vocabulary import Action, Outcome

BREAKEVEN_R = 0.05
"""Between minus and plus this many R a trade counts as BREAKEVEN."""


def direction(action: str) -> int:
    """+1 for BUY, -1 for SELL, 0 for HOLD."""
    return {Action.BUY.value: 1, Action.SELL.value: -1}.get(action, 0)


def pnl_percentage(action: str, entry_price: float | None, exit_price: float | None) -> float | None:
    """Profit in percent of the entry price, without fees; None when a price or a direction is missing."""
    sign = direction(action)
    if not sign or not entry_price or exit_price is None:
        return None
    return sign * (exit_price - entry_price) / entry_price * 100


def r_multiple(
    action: str, entry_price: float | None, stop_loss: float | None, exit_price: float | None
) -> float | None:
    """Profit as a multiple of the initial risk |entry − stop| (Van Tharp); None without a stop on the right side."""
    sign = direction(action)
    if not sign or entry_price is None or stop_loss is None or exit_price is None:
        return None
    risk = sign * (entry_price - stop_loss)
    return sign * (exit_price - entry_price) / risk if risk > 0 else None


def risk_reward(
    action: str, entry_price: float | None, stop_loss: float | None, take_profit: float | None
) -> float | None:
    """What the first target pays per unit of risk: the R multiple of reaching `take_profit`."""
    return r_multiple(action, entry_price, stop_loss, take_profit)


def outcome_of(r: float, *, threshold: float = BREAKEVEN_R) -> Outcome:
    """WIN above `threshold` R, LOSS below minus it, BREAKEVEN between."""
    if r > threshold:
        return Outcome.WIN
    return Outcome.LOSS if r < -threshold else Outcome.BREAKEVEN
