"""Many signals on their way through the candles of one symbol, as columns: the rules of `barrier_rules` on arrays.

Each step of the single walk in `barriers` has its counterpart here; the arithmetic is the same, operation by operation,
so that both give the same floats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stateful_engine.domain.barrier_rules import (
    NEVER_RESOLVABLE,
    AmbiguityPolicy,
    BarrierRules,
    EntryMode,
    GapFill,
    Unresolved,
)
from stateful_engine.domain.barrier_search import CandleFrame, first_touches
from stateful_engine.domain.vocabulary import ExitReason, Outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Codes = NDArray[np.int8]
    Flags = NDArray[np.bool_]

EXITS = (None, ExitReason.SL, ExitReason.TP, ExitReason.EXPIRED, ExitReason.EXPIRED_UNFILLED)
STOPPED, TAKEN, EXPIRED, LAPSED = 1, 2, 3, 4
OUTCOMES = (Outcome.PENDING, Outcome.WIN, Outcome.LOSS, Outcome.BREAKEVEN, Outcome.UNFILLED)
REASONS = (None, *Unresolved)


class Book:
    """All signals of one call in the long view, as columns; `exit` and `reason` index EXITS and REASONS."""

    def __init__(
        self,
        rules: BarrierRules,
        candles: CandleFrame,
        *,
        signs: Ints,
        planned: Floats,
        stops: Floats,
        targets: Floats,
        signal_times: Floats,
        expiries: Floats,
    ) -> None:
        import numpy as np

        self.rules, self.candles = rules, candles
        count = len(signs)
        self.signs, self.buys = signs, signs > 0
        self.planned: Floats = planned * signs
        self.stop: Floats = np.where(np.isnan(stops), -np.inf, stops * signs)
        self.target: Floats = np.where(np.isnan(targets), np.inf, targets * signs)
        self.entry: Floats = np.full(count, np.nan)
        self.entry_time, self.best, self.worst = self.entry.copy(), self.entry.copy(), self.entry.copy()
        self.exit, self.reason = np.zeros(count, dtype=np.int8), np.zeros(count, dtype=np.int8)
        self.exit_price, self.exit_time = self.entry.copy(), self.entry.copy()
        self.ambiguous, self.drillable = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
        self.waited = np.zeros(count, dtype=np.int64)
        self.signal_times = signal_times
        self.first: Ints = np.where(np.isnan(signal_times), 0, np.searchsorted(candles.times, signal_times))
        ends = np.where(np.isnan(expiries), len(candles), np.searchsorted(candles.times, expiries))
        self.end: Ints = np.maximum(ends, self.first)
        self.last: Ints = self.first.copy()

    def run(self) -> None:
        """Rule 1 for all, then entries, then the first touch of those that entered and did not leave at once."""
        import numpy as np

        self._refuse(np.arange(len(self.signs)), self.planned)
        open_lanes = np.flatnonzero(self.reason == 0)
        if self.rules.entry_mode is EntryMode.AT_SIGNAL:
            cursor = self._enter_at_signal(open_lanes)
        elif self.rules.entry_mode is EntryMode.NEXT_OPEN:
            cursor = self._enter_at_open(open_lanes)
        else:
            cursor = self._enter_at_limit(open_lanes)
        held = open_lanes[(self.exit[open_lanes] == 0) & (self.reason[open_lanes] == 0)]
        self._hold(held, cursor[held])

    def _refuse(self, lanes: Ints, entry: Floats) -> None:
        """Rule 1, the first fault first."""
        import numpy as np

        stop, target = self.stop[lanes], self.target[lanes]
        needed = self.rules.entry_mode is not EntryMode.NEXT_OPEN
        faults = (
            (self.signs[lanes] == 0, Unresolved.NO_TRADE),
            (np.isnan(entry) & needed, Unresolved.NO_ENTRY),
            (np.isinf(stop) & np.isinf(target), Unresolved.NO_BARRIER),
            (stop >= entry, Unresolved.STOP_SIDE),
            (target <= entry, Unresolved.TARGET_SIDE),
        )
        codes = [REASONS.index(reason) for _, reason in faults]
        self.reason[lanes] = np.select([fault for fault, _ in faults], codes, default=0)

    def _enter(self, lanes: Ints, price: Floats, ts: Floats | Ints) -> None:
        self.entry[lanes], self.entry_time[lanes] = price, ts
        self.best[lanes] = self.worst[lanes] = price

    def _enter_at_signal(self, lanes: Ints) -> Ints:
        import numpy as np

        times = np.append(self.candles.times.astype(np.float64), np.nan)
        stamped = self.signal_times[lanes]
        self._enter(lanes, self.planned[lanes], np.where(np.isnan(stamped), times[self.first[lanes]], stamped))
        return self.first

    def _enter_at_open(self, lanes: Ints) -> Ints:
        reached = self.first[lanes] < self.end[lanes]
        self._lapse(lanes[~reached], self.first[lanes[~reached]])
        self._open_position(lanes[reached], self.first[lanes[reached]])
        return self.first

    def _open_position(self, lanes: Ints, index: Ints) -> None:
        """Enter at the open of a candle, unless a barrier is then on the wrong side."""
        at_open = self._bars(lanes, index)[0]
        self._refuse(lanes, at_open)
        sound = self.reason[lanes] == 0
        self._enter(lanes[sound], at_open[sound], self.candles.times[index[sound]])

    def _enter_at_limit(self, lanes: Ints) -> Ints:
        import numpy as np

        valid = self.rules.limit_valid_candles
        until: Ints = self.end if valid is None else np.minimum(self.end, self.first + valid)
        limit = self.planned[lanes]
        filled_at = self._touch(lanes, self.first[lanes], until=until[lanes], down=limit)[0]
        self.waited[lanes] = filled_at - self.first[lanes]
        missed = filled_at >= until[lanes]
        self._lapse(lanes[missed], until[lanes[missed]])
        lanes, index, limit = lanes[~missed], filled_at[~missed], limit[~missed]
        cursor: Ints = self.first.copy()
        cursor[lanes] = index
        better = self._bars(lanes, index)[0] <= limit
        self._open_position(lanes[better], index[better])
        inside = lanes[~better]
        self._fill_inside(inside, index[~better])
        cursor[inside] += 1
        return cursor

    def _fill_inside(self, lanes: Ints, index: Ints) -> None:
        """Enter at the limit and judge what is left of the candle, see `barrier_rules.after_limit_fill`."""
        import numpy as np

        limit, target = self.planned[lanes], self.target[lanes]
        at_open, high, low, close = self._bars(lanes, index)
        self.drillable[lanes] = self._taken(high, target)
        self._enter(lanes, limit, self.candles.times[index])
        high = np.maximum(limit, np.where(close < at_open, np.minimum(close, high), high))
        self._judge(lanes, index, (limit, high, low, close))
        stays = (self.exit[lanes] == 0) & (self.reason[lanes] == 0)
        self._excurse(lanes[stays], high[stays], low[stays])

    def _lapse(self, lanes: Ints, index: Ints) -> None:
        """No entry before the order's end: unfilled if the candles reach it, else still waiting."""
        import numpy as np

        candles, valid = self.candles, self.rules.limit_valid_candles
        used_up = np.zeros(len(lanes), dtype=bool)
        if self.rules.entry_mode is EntryMode.LIMIT and valid is not None:
            used_up = index == self.first[lanes] + valid
        over = ~used_up & (index < len(candles))
        self.exit[lanes[used_up | over]] = LAPSED
        self.exit_time[lanes[used_up]] = candles.times[index[used_up] - 1] + candles.candle_ms
        self.exit_time[lanes[over]] = candles.times[index[over]]
        self.last[lanes] = index - ~over
        self.reason[lanes[~(used_up | over)]] = REASONS.index(Unresolved.NOT_ENTERED)

    def _hold(self, lanes: Ints, cursor: Ints) -> None:
        """Search the candle that ends each position and judge it."""
        import numpy as np

        target = self.target[lanes]
        upwards = np.nextafter(target, np.inf) if self.rules.strict_tp else target
        at, high, low = self._touch(lanes, cursor, until=self.end[lanes], down=self.stop[lanes], up=upwards)
        self._excurse(lanes, high, low)
        touched = at < self.end[lanes]
        hits = lanes[touched]
        self._judge(hits, at[touched], self._bars(hits, at[touched]))
        expired = ~touched & (at < len(self.candles))
        late = lanes[expired]
        self._close(late, at[expired], code=EXPIRED, price=self._bars(late, at[expired])[0])
        waiting = lanes[~touched & ~expired]
        self.reason[waiting] = REASONS.index(Unresolved.STILL_OPEN)
        self.last[waiting] = len(self.candles) - 1

    def _judge(self, lanes: Ints, index: Ints, bars: tuple[Floats, Floats, Floats, Floats]) -> None:
        """Rules 3 to 6 for one candle per lane."""
        import numpy as np

        at_open, high, low, close = bars
        stop, target = self.stop[lanes], self.target[lanes]
        gap_stop = at_open <= stop
        gap_take = ~gap_stop & self._taken(at_open, target)
        gapped = gap_stop | gap_take
        low_hit, high_hit = ~gapped & (low <= stop), ~gapped & self._taken(high, target)
        both = low_hit & high_hit
        take_first, skipped = self._ambiguous(lanes, index, both=both, falling=close < at_open)
        take = (high_hit & ~low_hit) | take_first
        cut = low_hit & ~take & ~skipped
        gap_price = at_open if self.rules.tp_gap_fill is GapFill.OPEN else target
        self._close(lanes[gap_stop], index[gap_stop], code=STOPPED, price=at_open[gap_stop])
        self._close(lanes[gap_take], index[gap_take], code=TAKEN, price=gap_price[gap_take])
        self._close(lanes[cut], index[cut], code=STOPPED, price=stop[cut], high=high[cut])
        self._close(lanes[take], index[take], code=TAKEN, price=target[take], low=low[take])
        self.last[lanes] = np.maximum(self.last[lanes], index)

    def _ambiguous(self, lanes: Ints, index: Ints, *, both: Flags, falling: Flags) -> tuple[Flags, Flags]:
        """Which of the candles that hold both barriers go to the take profit, and which are skipped."""
        import numpy as np

        self.ambiguous[lanes] = both
        never = np.zeros(len(lanes), dtype=bool)
        if self.rules.policy is AmbiguityPolicy.SKIP:
            self.reason[lanes[both]] = REASONS.index(Unresolved.AMBIGUOUS)
            self.last[lanes[both]] = index[both]
            return never, both
        if self.rules.policy is AmbiguityPolicy.CANDLE_COLOR:
            return both & falling, never
        return (both, never) if self.rules.policy is AmbiguityPolicy.OPTIMISTIC else (never, never)

    def _close(
        self,
        lanes: Ints,
        index: Ints,
        *,
        code: int,
        price: Floats,
        high: Floats | None = None,
        low: Floats | None = None,
    ) -> None:
        self._excurse(lanes, price if high is None else high, price if low is None else low)
        self.exit[lanes], self.exit_price[lanes] = code, price
        self.exit_time[lanes], self.last[lanes] = self.candles.times[index], index

    def _excurse(self, lanes: Ints, high: Floats, low: Floats) -> None:
        import numpy as np

        self.best[lanes] = np.maximum(self.best[lanes], high)
        self.worst[lanes] = np.minimum(self.worst[lanes], low)

    def _taken(self, price: Floats, target: Floats) -> Flags:
        return price > target if self.rules.strict_tp else price >= target

    def _bars(self, lanes: Ints, index: Ints) -> tuple[Floats, Floats, Floats, Floats]:
        """Open, high, low and close of one candle per lane in the long view."""
        import numpy as np

        candles, sign, buys = self.candles, self.signs[lanes], self.buys[lanes]
        high, low = candles.highs[index], candles.lows[index]
        return (
            candles.opens[index] * sign,
            np.where(buys, high, -low),
            np.where(buys, low, -high),
            candles.closes[index] * sign,
        )

    def _touch(
        self, lanes: Ints, starts: Ints, *, until: Ints, down: Floats, up: Floats | None = None
    ) -> tuple[Ints, Floats, Floats]:
        """The first candle whose low reaches `down` or high reaches `up`, and the extremes before it."""
        import numpy as np

        buys, upper = self.buys[lanes], np.full(len(lanes), np.inf) if up is None else up
        above, below = np.where(buys, upper, -down), np.where(buys, down, -upper)
        found = first_touches(self.candles, starts, ends=until, above=above, below=below)
        return found.at, np.where(buys, found.top, -found.bottom), np.where(buys, found.bottom, -found.top)

    def judged(self) -> Flags:
        """The signals that rule 1 let pass."""
        import numpy as np

        passes = np.array([reason not in NEVER_RESOLVABLE for reason in REASONS])
        return passes[self.reason]

    def outcomes(self, pnl: Floats, r_multiple: Floats) -> Codes:
        import numpy as np

        result = np.where(np.isnan(r_multiple), pnl, r_multiple)
        threshold, lapsed = self.rules.break_even_r, self.exit == LAPSED
        conditions = [lapsed, self.exit == 0, result > threshold, result < -threshold]
        return np.select(conditions, [4, 0, 1, 2], default=3).astype(np.int8)

    def in_r(self, price: Floats) -> Floats:
        import numpy as np

        risk: Floats = np.where(np.isinf(self.stop), np.nan, self.entry - self.stop)
        return (price - self.entry) / risk

    def in_percent(self, price: Floats) -> Floats:
        import numpy as np

        size: Floats = np.abs(self.entry)
        return (price - self.entry) * 100.0 / size

    def data_gaps(self) -> Flags:
        import numpy as np

        candles = self.candles
        if candles.candle_ms <= 0 or not len(candles):
            return np.zeros(len(self.first), dtype=bool)
        newest = len(candles) - 1
        seen, first, last = self.first <= newest, np.minimum(self.first, newest), np.minimum(self.last, newest)
        late = candles.times[first] - self.signal_times >= candles.candle_ms
        between = candles.gaps[last] > candles.gaps[first]
        return seen & (late | between) & self.judged()

    def resumable_from(self) -> Floats:
        import numpy as np

        pending = (self.exit == 0) & self.judged()
        start = np.where(pending, self.signal_times, np.nan)
        begun = pending & (self.first < len(self.candles))
        skipped = begun & self.ambiguous
        step = max(self.candles.candle_ms, 1)
        start[begun] = self.candles.times[self.last[begun]] + step
        start[skipped] = self.candles.times[self.last[skipped]]
        return start

    def undecided(self) -> Ints:
        """The rows for which a finer series may say more."""
        import numpy as np

        return np.flatnonzero(self.ambiguous | self.drillable)
