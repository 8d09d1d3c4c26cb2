"""How one signal ended, read from candles: the triple barrier of stop loss, take profit and expiry.

The rules stand in `barrier_rules`; this is the plain Python walk for single signals. `barrier_frames` gives the same
answers for thousands of signals at once.
"""

from __future__ import annotations

import copy
import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

from stateful_engine.domain.barrier_rules import (
    BREAK_EVEN_R,
    RESOLVER_VERSION,
    AmbiguityPolicy,
    Bar,
    BarrierRules,
    EntryMode,
    GapFill,
    Plan,
    Resolution,
    Unresolved,
    after_limit_fill,
    first_barrier,
    mirrored,
    not_resolvable,
    plan_of,
    side_fault,
)
from stateful_engine.domain.vocabulary import ExitReason, Outcome
from stateful_engine.errors import InvalidInputError

__all__ = [
    "RESOLVER_VERSION",
    "AmbiguityPolicy",
    "BarrierRules",
    "EntryMode",
    "GapFill",
    "Resolution",
    "Unresolved",
    "resolve",
]

Candle = Sequence[float]
FinerCandles = Sequence[Candle] | Callable[[int, int], Sequence[Candle]]


def resolve(
    side: str | None,
    entry_price: float | None,
    stop_loss: float | None,
    take_profit: float | None,
    candles: Sequence[Candle],
    *,
    signal_time: float | datetime | None = None,
    expiry: float | datetime | None = None,
    entry_mode: str = "at_signal",
    limit_price: float | None = None,
    limit_valid_candles: int | None = None,
    policy: str = "pessimistic",
    strict_tp: bool = False,
    tp_gap_fill: str = "open",
    finer: FinerCandles | None = None,
    stop_moves: Sequence[tuple[float, float]] = (),
    break_even_r: float = BREAK_EVEN_R,
    candle_ms: int | None = None,
    resumed: Resolution | None = None,
) -> Resolution:
    """How one signal ended on these candles, by the rule table of `barrier_rules`.

    `candles` are `(ts_ms, open, high, low, close, ...)` in ascending order, stamped with their open time, all of them
    complete: leave out a candle that is still running. Rows with a price that is 0 or not finite count as missing. The
    candle length is `candle_ms`, else the smallest spacing in the series; a whole candle missing on the way sets
    `data_gap`. Times may be ms since the epoch or datetimes; without `signal_time` all candles come after the signal.

    A limit fills at its price, or at the open if that is better. Inside the candle that filled it the price before the
    fill is unknown: a candle that closed against the entry is taken to have been on the far side first, so there the
    take profit counts only as far as the close (freqtrade's rule, its issue 6261).

    `candle_color` takes open, low, high, close for a rising candle and open, high, low, close for a falling one; a flat
    one is pessimistic. `finer` is a series or a callable `(start_ms, end_ms) -> series`. `stop_moves` are
    `(ts_ms, new_stop)`; each takes effect with the first candle that opens at or after it, R keeps the initial stop.
    `resumed` is an earlier PENDING result of the same signal: only candles from its `resumable_from` on are read.

    Raises InvalidInputError for unknown options and for candles out of order.
    """
    rules = BarrierRules.of(
        policy=policy,
        entry_mode=entry_mode,
        tp_gap_fill=tp_gap_fill,
        strict_tp=strict_tp,
        limit_valid_candles=limit_valid_candles,
        break_even_r=break_even_r,
    )
    plan = plan_of(
        side, entry_price, stop_loss=stop_loss, take_profit=take_profit, rules=rules, limit_price=limit_price
    )
    if plan.fault is not None:
        return not_resolvable(plan.fault)
    walk = _Walk(plan, rules, signal_time=_ms(signal_time), expiry=_ms(expiry), finer=finer)
    walk.candle_ms = candle_ms or smallest_spacing(candles)
    walk.plan_stop_moves(stop_moves)
    walk.resume(resumed)
    return walk.run(candles)


def smallest_spacing(candles: Sequence[Candle]) -> int:
    """The candle length in ms as the series shows it, 0 for fewer than two candles."""
    times = [row[0] for row in candles]
    smallest = min((later - earlier for earlier, later in pairwise(times)), default=0)
    if len(times) > 1 and smallest <= 0:
        raise _out_of_order()
    return int(smallest)


class _Walk:
    """One position on its way through the candles, in the long view."""

    __slots__ = (
        "_moves",
        "best",
        "candle_ms",
        "due",
        "entry",
        "entry_time",
        "expiry",
        "finer",
        "gap",
        "plan",
        "rules",
        "stop",
        "waited",
        "worst",
    )

    def __init__(
        self,
        plan: Plan,
        rules: BarrierRules,
        *,
        signal_time: int | None = None,
        expiry: int | None = None,
        finer: FinerCandles | None = None,
    ) -> None:
        self.plan = plan
        self.rules = rules
        self.expiry = math.inf if expiry is None else expiry
        self.finer = finer
        self.stop = plan.stop
        self.candle_ms = 0
        self.due = signal_time
        self.entry: float | None = None
        self.entry_time: int | None = None
        self.best: float | None = None
        self.worst: float | None = None
        self.gap = False
        self.waited = 0
        self._moves: list[tuple[float, float]] = []
        if rules.entry_mode is EntryMode.AT_SIGNAL and plan.entry is not None:
            self._enter(signal_time, plan.entry)

    def plan_stop_moves(self, moves: Sequence[tuple[float, float]]) -> None:
        """Keep the stop moves since the signal, latest first, so that the next one is at the end."""
        since = -math.inf if self.due is None else self.due
        known = [(ts, mirrored(price, self.plan.sign)) for ts, price in moves if ts >= since]
        self._moves = sorted(((ts, price) for ts, price in known if price is not None), reverse=True)

    def resume(self, earlier: Resolution | None) -> None:
        """Go on where an earlier, still pending walk of the same signal stopped."""
        if earlier is None or earlier.resumable_from is None:
            return
        self.due, self.gap, self.waited = earlier.resumable_from, earlier.data_gap, earlier.candles_waited
        entered_before = self.entry is not None or earlier.entry_time != earlier.resumable_from
        if earlier.entry_price is not None and entered_before:
            sign = self.plan.sign
            self._enter(earlier.entry_time, earlier.entry_price * sign)
            self.best, self.worst = mirrored(earlier.best_price, sign), mirrored(earlier.worst_price, sign)

    def run(self, candles: Sequence[Candle]) -> Resolution:
        for bar in self._bars(candles):
            self._note_gap(bar[0])
            self._move_stop(bar[0])
            resolution = self._step(bar)
            if resolution is not None:
                return resolution
        return self._pending(Unresolved.NOT_ENTERED if self.entry is None else Unresolved.STILL_OPEN)

    def _bars(self, candles: Sequence[Candle]) -> Iterator[Bar]:
        first = 0 if self.due is None else bisect_left(candles, float(self.due), key=_open_time)
        previous = -math.inf
        for index in range(first, len(candles)):
            row = candles[index]
            if row[0] <= previous:
                raise _out_of_order()
            previous = row[0]
            if _is_sound(row):
                yield _long_view(row, self.plan.sign)

    def _note_gap(self, ts: int) -> None:
        if self.due is not None and 0 < self.candle_ms <= ts - self.due:
            self.gap = True
        self.due = ts + max(self.candle_ms, 1)

    def _move_stop(self, ts: int) -> None:
        while self._moves and self._moves[-1][0] <= ts:
            self.stop = self._moves.pop()[1]

    def _step(self, bar: Bar) -> Resolution | None:
        if self.entry is not None and self.entry_time is None:
            self.entry_time = bar[0]
        if bar[0] >= self.expiry:
            return self._expire(bar)
        if self.entry is not None:
            return self._judge(bar, bar)
        if not self._fills(bar):
            return self._wait(bar[0])
        return self._start(bar)

    def _expire(self, bar: Bar) -> Resolution:
        if self.entry is None:
            return self._unfilled(bar[0])
        return self._close(ExitReason.EXPIRED, bar, price=bar[1], at_open=True)

    def _fills(self, bar: Bar) -> bool:
        limit = self.plan.entry
        return self.rules.entry_mode is EntryMode.NEXT_OPEN or (limit is not None and bar[3] <= limit)

    def _wait(self, ts: int) -> Resolution | None:
        self.waited += 1
        if self.waited == self.rules.limit_valid_candles:
            return self._unfilled(ts + self.candle_ms)
        return None

    def _start(self, bar: Bar) -> Resolution | None:
        limit = self.plan.entry
        if self.rules.entry_mode is EntryMode.NEXT_OPEN or limit is None or bar[1] <= limit:
            return self._start_at_open(bar)
        if self.finer is not None and self.rules.beyond_target(bar[2], self.plan.target):
            child, resolution = self._drilled(bar, self.finer)
            if resolution.exit_reason is not None or resolution.reason is Unresolved.STILL_OPEN:
                return self._adopt(child, resolution)
        self._enter(bar[0], limit)
        return self._judge(after_limit_fill(bar, limit), bar)

    def _start_at_open(self, bar: Bar) -> Resolution | None:
        fault = side_fault(1, bar[1], self.plan.stop, self.plan.target, entry_needed=True)
        if fault is not None:
            return not_resolvable(fault)
        self._enter(bar[0], bar[1])
        return self._judge(bar, bar)

    def _judge(self, bar: Bar, whole: Bar) -> Resolution | None:
        """Rules 3 to 6 for a candle, of which `bar` is the part after the entry."""
        _, at_open, high, low, _ = bar
        target, beyond = self.plan.target, self.rules.beyond_target
        if at_open <= self.stop:
            return self._close(ExitReason.SL, bar, price=at_open, at_open=True)
        if beyond(at_open, target):
            price = at_open if self.rules.tp_gap_fill is GapFill.OPEN else target
            return self._close(ExitReason.TP, bar, price=price, at_open=True)
        stopped, taken = low <= self.stop, beyond(high, target)
        if stopped and taken:
            return self._judge_both(bar, whole)
        if stopped:
            return self._close(ExitReason.SL, bar, price=self.stop)
        if taken:
            return self._close(ExitReason.TP, bar, price=target)
        self._excurse(high, low)
        return None

    def _judge_both(self, bar: Bar, whole: Bar) -> Resolution | None:
        if self.finer is not None and bar is whole:
            child, resolution = self._drilled(whole, self.finer)
            if resolution.exit_reason is not None:
                return self._adopt(child, resolution)
        first = first_barrier(self.rules.policy, falling=bar[4] < bar[1])
        if first is None:
            self.due = bar[0]
            return self._pending(Unresolved.AMBIGUOUS)
        price = self.stop if first is ExitReason.SL else self.plan.target
        return self._close(first, bar, price=price, ambiguous=True)

    def _drilled(self, bar: Bar, finer: FinerCandles) -> tuple[_Walk, Resolution]:
        """Walk the finer candles inside one candle, on a copy: they may not tell either."""
        rows = _finer_rows(finer, bar[0], end=bar[0] + self.candle_ms if self.candle_ms else None)
        child = copy.copy(self)
        child.finer, child._moves = None, []
        child.rules = replace(self.rules, limit_valid_candles=None)
        child.candle_ms, child.due = smallest_spacing(rows), bar[0]
        return child, child.run(rows)

    def _adopt(self, child: _Walk, resolution: Resolution) -> Resolution | None:
        """Take over what the finer candles showed about this candle."""
        self.entry, self.entry_time, self.gap = child.entry, child.entry_time, child.gap
        self.best, self.worst = child.best, child.worst
        return None if resolution.exit_reason is None else resolution

    def _enter(self, ts: int | None, price: float) -> None:
        self.entry_time, self.entry = ts, price
        self.best = self.worst = price

    def _excurse(self, high: float, low: float) -> None:
        self.best = high if self.best is None else max(self.best, high)
        self.worst = low if self.worst is None else min(self.worst, low)

    def _close(
        self, reason: ExitReason, bar: Bar, *, price: float, at_open: bool = False, ambiguous: bool = False
    ) -> Resolution:
        ts, _, high, low, _ = bar
        if at_open:
            self._excurse(price, price)
        elif reason is ExitReason.SL:
            self._excurse(high, price)
        else:
            self._excurse(price, low)
        return self._report(reason, ts=ts, price=price, ambiguous=ambiguous)

    def _pending(self, reason: Unresolved) -> Resolution:
        result = self._report(None, ambiguous=reason is Unresolved.AMBIGUOUS)
        return replace(result, reason=reason, resumable_from=self.due)

    def _unfilled(self, ts: int) -> Resolution:
        return self._report(ExitReason.EXPIRED_UNFILLED, ts=ts)

    def _report(
        self,
        exit_reason: ExitReason | None,
        *,
        ts: int | None = None,
        price: float | None = None,
        ambiguous: bool = False,
    ) -> Resolution:
        r_multiple, pnl = self._in_r(price), self._in_percent(price)
        return Resolution(
            exit_reason=exit_reason,
            outcome=self._outcome(exit_reason, r_multiple, pnl),
            entry_time=self.entry_time,
            entry_price=self._shown(self.entry),
            exit_time=ts,
            exit_price=self._shown(price),
            pnl_percentage=pnl,
            r_multiple=r_multiple,
            mfe_r=self._in_r(self.best),
            mae_r=self._in_r(self.worst),
            ambiguous=ambiguous,
            data_gap=self.gap,
            mfe_pct=self._in_percent(self.best),
            mae_pct=self._in_percent(self.worst),
            best_price=self._shown(self.best),
            worst_price=self._shown(self.worst),
            candles_waited=self.waited,
        )

    def _outcome(self, exit_reason: ExitReason | None, r_multiple: float | None, pnl: float | None) -> Outcome:
        if pnl is not None:
            return self.rules.outcome_of(r_multiple, pnl)
        return Outcome.PENDING if exit_reason is None else Outcome.UNFILLED

    def _in_r(self, price: float | None) -> float | None:
        if price is None or self.entry is None or math.isinf(self.plan.stop):
            return None
        return (price - self.entry) / (self.entry - self.plan.stop)

    def _in_percent(self, price: float | None) -> float | None:
        if price is None or self.entry is None:
            return None
        return (price - self.entry) * 100.0 / abs(self.entry)

    def _shown(self, price: float | None) -> float | None:
        """A price of the long view as the market knows it."""
        return None if price is None else price * self.plan.sign


def _finer_rows(finer: FinerCandles, start: int, *, end: int | None) -> Sequence[Candle]:
    if not isinstance(finer, Sequence):
        return () if end is None else finer(start, end)
    first = bisect_left(finer, float(start), key=_open_time)
    return finer[first : len(finer) if end is None else bisect_left(finer, float(end), key=_open_time)]


def _long_view(row: Candle, sign: int) -> Bar:
    ts, at_open, high, low, close = row[:5]
    if sign < 0:
        at_open, high, low, close = -at_open, -low, -high, -close
    return int(ts), at_open, max(high, at_open), min(low, at_open), close


def _is_sound(row: Candle) -> bool:
    prices = row[1:5]
    return all(prices) and math.isfinite(sum(prices))


def _open_time(row: Candle) -> float:
    return row[0]


def _ms(moment: float | datetime | None) -> int | None:
    if isinstance(moment, datetime):
        return round(moment.timestamp() * 1000)
    return None if moment is None else int(moment)


def _out_of_order() -> InvalidInputError:
    return InvalidInputError("The candles are not in ascending order of time; sort them and drop repeated ones.")
