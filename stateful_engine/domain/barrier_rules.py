"""The rule table of the triple barrier, spelled once for the single walk and for the vectorised engine.

The first matching rule wins, for each completed candle that opens at or after the signal time:

1. HOLD, no entry, neither barrier, or a barrier on the wrong side of the entry: not resolvable.
2. The candle opens at or after the expiry: EXPIRED at its open.
3. It opens at or beyond the stop loss: SL at the open, so R may be below -1.
4. It opens at or beyond the take profit: TP at the open, or at the level with `tp_gap_fill="level"`.
5. Both barriers lie inside it: a finer candle series decides if one is given, else the ambiguity policy.
6. It touches the stop loss (inclusive): SL. It touches the take profit (inclusive unless `strict_tp`): TP.
7. The candles end: the signal stays PENDING and says from when candles are needed.

All rules are written in the long view: a SELL is mirrored by negating its prices, which is exact in floating point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

from stateful_engine.domain.vocabulary import Action, ExitReason, Outcome, Word
from stateful_engine.errors import InvalidInputError

RESOLVED_BY = "barrier"
"""What `resolved_by` says of a signal that candles closed, rather than a person."""

RESOLVER_VERSION = "barriers-1"
BREAK_EVEN_R = 0.05

Bar = tuple[int, float, float, float, float]


class AmbiguityPolicy(Word):
    """Which barrier came first when one candle holds both and no finer candles tell."""

    PESSIMISTIC = "pessimistic"
    CANDLE_COLOR = "candle_color"
    OPTIMISTIC = "optimistic"
    SKIP = "skip"


class EntryMode(Word):
    """When a signal becomes a position."""

    AT_SIGNAL = "at_signal"
    NEXT_OPEN = "next_open"
    LIMIT = "limit"


class GapFill(Word):
    """At which price a take profit fills when a candle opens beyond it."""

    OPEN = "open"
    LEVEL = "level"


class Unresolved(Word):
    """Why a signal has no result; the text can be shown as it is."""

    NO_TRADE = "HOLD is no trade"
    NO_ENTRY = "there is no entry price"
    NO_BARRIER = "there is neither a stop loss nor a take profit"
    STOP_SIDE = "the stop loss is on the wrong side of the entry"
    TARGET_SIDE = "the take profit is on the wrong side of the entry"
    NOT_ENTERED = "the candles end before the position was entered"
    STILL_OPEN = "the candles end before a barrier was reached"
    AMBIGUOUS = "both barriers lie inside one candle and the policy is to skip it"


NEVER_RESOLVABLE = frozenset(
    {Unresolved.NO_TRADE, Unresolved.NO_ENTRY, Unresolved.NO_BARRIER, Unresolved.STOP_SIDE, Unresolved.TARGET_SIDE}
)


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of one signal.

    Times are ms since the epoch; a touched barrier is stamped with the open time of its candle. `pnl_percentage`,
    `mfe_pct` and `mae_pct` are percent of the entry price, `r_multiple`, `mfe_r` and `mae_r` multiples of the distance
    from the entry to the initial stop (None without one). Excursions are signed: MFE >= 0, MAE <= 0. `reason` says why
    there is no `exit_reason`; `resumable_from` is the open time of the first candle that is still needed.
    """

    exit_reason: ExitReason | None
    outcome: Outcome
    entry_time: int | None
    entry_price: float | None
    exit_time: int | None
    exit_price: float | None
    pnl_percentage: float | None
    r_multiple: float | None
    mfe_r: float | None
    mae_r: float | None
    ambiguous: bool
    data_gap: bool
    mfe_pct: float | None = None
    mae_pct: float | None = None
    reason: Unresolved | None = None
    resumable_from: int | None = None
    best_price: float | None = None
    worst_price: float | None = None
    candles_waited: int = 0

    @property
    def resolvable(self) -> bool:
        """False when no candles, however many, can give this signal a result."""
        return self.reason not in NEVER_RESOLVABLE


@dataclass(frozen=True, slots=True)
class BarrierRules:
    """The options of the rule table, checked once for any number of signals."""

    policy: AmbiguityPolicy = AmbiguityPolicy.PESSIMISTIC
    entry_mode: EntryMode = EntryMode.AT_SIGNAL
    tp_gap_fill: GapFill = GapFill.OPEN
    strict_tp: bool = False
    limit_valid_candles: int | None = None
    break_even_r: float = BREAK_EVEN_R

    @classmethod
    def of(
        cls,
        *,
        policy: str = "pessimistic",
        entry_mode: str = "at_signal",
        tp_gap_fill: str = "open",
        strict_tp: bool = False,
        limit_valid_candles: int | None = None,
        break_even_r: float = BREAK_EVEN_R,
    ) -> BarrierRules:
        """Read the options as callers spell them; InvalidInputError names the choices."""
        if limit_valid_candles is not None and limit_valid_candles < 1:
            raise InvalidInputError("limit_valid_candles must be at least 1; leave it out for a limit without an end.")
        return cls(
            policy=_choice(AmbiguityPolicy, policy, name="policy"),
            entry_mode=_choice(EntryMode, entry_mode, name="entry_mode"),
            tp_gap_fill=_choice(GapFill, tp_gap_fill, name="tp_gap_fill"),
            strict_tp=strict_tp,
            limit_valid_candles=limit_valid_candles,
            break_even_r=break_even_r,
        )

    def beyond_target(self, price: float, target: float) -> bool:
        """Whether a price in the long view fills the take profit."""
        return price > target if self.strict_tp else price >= target

    def outcome_of(self, r_multiple: float | None, pnl_percentage: float) -> Outcome:
        """WIN, LOSS or BREAKEVEN by R; without an initial stop the same threshold is read as percent of the entry."""
        result = pnl_percentage if r_multiple is None else r_multiple
        if result > self.break_even_r:
            return Outcome.WIN
        return Outcome.LOSS if result < -self.break_even_r else Outcome.BREAKEVEN


@dataclass(frozen=True, slots=True)
class Plan:
    """One signal in the long view: absent barriers are infinitely far away."""

    sign: int
    entry: float | None
    stop: float
    target: float
    fault: Unresolved | None


def plan_of(
    side: str | None,
    entry_price: float | None,
    *,
    stop_loss: float | None,
    take_profit: float | None,
    rules: BarrierRules,
    limit_price: float | None = None,
) -> Plan:
    """Rule 1 for one signal: its mirrored prices and why it is not resolvable, if so.

    0, NaN and infinity mean missing. With `entry_mode="next_open"` it is the candle that gives the entry price.
    """
    sign = side_sign(side)
    planned = present(limit_price) if rules.entry_mode is EntryMode.LIMIT else None
    entry = mirrored(planned if planned is not None else entry_price, sign)
    stop, target = mirrored(stop_loss, sign), mirrored(take_profit, sign)
    return Plan(
        sign=sign,
        entry=entry,
        stop=-math.inf if stop is None else stop,
        target=math.inf if target is None else target,
        fault=side_fault(sign, entry, stop, target, entry_needed=rules.entry_mode is not EntryMode.NEXT_OPEN),
    )


def side_sign(side: str | None) -> int:
    """1 for BUY, -1 for SELL, 0 for HOLD or nothing; InvalidInputError for any other word."""
    known = {Action.BUY.value: 1, Action.SELL.value: -1, Action.HOLD.value: 0, "": 0}
    word = str(side or "").upper()
    if word not in known:
        raise InvalidInputError(f"{side!r} is no side of a trade; use BUY, SELL or HOLD.")
    return known[word]


def not_resolvable(fault: Unresolved) -> Resolution:
    """The answer for a signal that rule 1 refuses."""
    return Resolution(None, Outcome.PENDING, *(None,) * 8, ambiguous=False, data_gap=False, reason=fault)


def first_barrier(policy: AmbiguityPolicy, *, falling: bool) -> ExitReason | None:
    """Which barrier the policy lets come first inside one candle of the long view; None means to skip."""
    if policy is AmbiguityPolicy.SKIP:
        return None
    upwards_first = policy is AmbiguityPolicy.CANDLE_COLOR and falling
    return ExitReason.TP if upwards_first or policy is AmbiguityPolicy.OPTIMISTIC else ExitReason.SL


def after_limit_fill(bar: Bar, limit: float) -> Bar:
    """The part of a candle after a limit below its open was filled, in the long view."""
    ts, at_open, high, low, close = bar
    reached = min(close, high) if close < at_open else high
    return ts, limit, max(limit, reached), low, close


def side_fault(
    sign: int, entry: float | None, stop: float | None, target: float | None, *, entry_needed: bool
) -> Unresolved | None:
    """Rule 1 on prices of the long view."""
    if sign == 0:
        return Unresolved.NO_TRADE
    if entry is None and entry_needed:
        return Unresolved.NO_ENTRY
    if stop is None and target is None:
        return Unresolved.NO_BARRIER
    if entry is None:
        return None
    if stop is not None and stop >= entry:
        return Unresolved.STOP_SIDE
    return Unresolved.TARGET_SIDE if target is not None and target <= entry else None


def present(price: float | None) -> float | None:
    """The price, or None for what means a missing one."""
    return float(price) if price and math.isfinite(price) else None


def mirrored(price: float | None, sign: int) -> float | None:
    """A price in the long view."""
    known = present(price)
    return None if known is None else known * sign


_Choice = TypeVar("_Choice", bound=Word)


def _choice(vocabulary: type[_Choice], word: str, *, name: str) -> _Choice:
    try:
        return vocabulary(word)
    except ValueError:
        choices = ", ".join(member.value for member in vocabulary)
        raise InvalidInputError(f"{name}={word!r} is unknown; use one of {choices}.") from None
