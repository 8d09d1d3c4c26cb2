"""Doubts about a signal that is nevertheless recorded as it was given; they are kept in `extra.flags`.

The names are stable: `take_profit_wrong_side`, `stop_loss_wrong_side`, `risk_reward_negative`,
`confidence_out_of_range`, `entry_far_from_price`.
"""

from __future__ import annotations

from stateful_engine.domain.vocabulary import Action

TAKE_PROFIT_WRONG_SIDE = "take_profit_wrong_side"
STOP_LOSS_WRONG_SIDE = "stop_loss_wrong_side"
RISK_REWARD_NEGATIVE = "risk_reward_negative"
CONFIDENCE_OUT_OF_RANGE = "confidence_out_of_range"
ENTRY_FAR_FROM_PRICE = "entry_far_from_price"

FAR_FROM_PRICE = 0.5
_BUY, _HOLD = Action.BUY.value, Action.HOLD.value


def sanity_flags(
    action: str,
    *,
    entry_price: float | None = None,
    take_profit: float | None = None,
    stop_loss: float | None = None,
    risk_reward_ratio: float | None = None,
    confidence: float | None = None,
    current_price: float | None = None,
) -> list[str]:
    """Name what does not fit together in a signal, given the confidence as the host said it (150 is out of range).

    A target belongs above the entry when buying and below when selling, a stop on the other side; without an entry
    the current price stands in. An entry is far when it differs from the current price by more than half of it.
    """
    flags: list[str] = []
    if take_profit is not None or stop_loss is not None:
        flags = _wrong_sides(action, entry_price or current_price, take_profit=take_profit, stop_loss=stop_loss)
    if risk_reward_ratio is not None and risk_reward_ratio < 0.0:
        flags.append(RISK_REWARD_NEGATIVE)
    if confidence is not None and not 0.0 <= confidence <= 100.0:
        flags.append(CONFIDENCE_OUT_OF_RANGE)
    if entry_price and current_price and abs(entry_price - current_price) > FAR_FROM_PRICE * current_price:
        flags.append(ENTRY_FAR_FROM_PRICE)
    return flags


def _wrong_sides(action: str, price: float | None, *, take_profit: float | None, stop_loss: float | None) -> list[str]:
    if action == _HOLD:
        return []
    sign = 1.0 if action == _BUY else -1.0
    if price is None:
        is_crossed = take_profit is not None and stop_loss is not None and sign * (take_profit - stop_loss) <= 0.0
        return [TAKE_PROFIT_WRONG_SIDE, STOP_LOSS_WRONG_SIDE] if is_crossed else []
    flags = []
    if take_profit is not None and sign * (take_profit - price) <= 0.0:
        flags.append(TAKE_PROFIT_WRONG_SIDE)
    if stop_loss is not None and sign * (price - stop_loss) <= 0.0:
        flags.append(STOP_LOSS_WRONG_SIDE)
    return flags
