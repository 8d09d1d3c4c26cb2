"""Signals as the barrier engine takes them, resolved on the candles of one market.

A few signals go through the plain walk; many go through the vectorised engine where numpy is installed. Both give the
same answers.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from stateful_engine.domain.barrier_rules import BREAK_EVEN_R, BarrierRules, Resolution
from stateful_engine.domain.barriers import resolve
from stateful_engine.domain.clock import to_epoch_us
from stateful_engine.domain.timeframes import candle_milliseconds, canonical_timeframe
from stateful_engine.errors import InvalidInputError
from stateful_engine.services.candle_series import CandleSeries

MANY = 24
"""From so many signals on one market on, preparing the candles for numpy pays."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The options of a resolution: the rule table's, and when a signal expires that does not say so itself."""

    rules: BarrierRules
    expiry_ms: int | None = None

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
        expiry: timedelta | str | None = None,
    ) -> Policy:
        """Read the options as callers spell them; `expiry` is a timedelta, or a text such as `90m`, `12h` or `3d`."""
        rules = BarrierRules.of(
            policy=policy,
            entry_mode=entry_mode,
            tp_gap_fill=tp_gap_fill,
            strict_tp=strict_tp,
            limit_valid_candles=limit_valid_candles,
            break_even_r=break_even_r,
        )
        return cls(rules, None if expiry is None else duration_ms(expiry))

    @property
    def options(self) -> dict[str, Any]:
        """The rules as keywords of the engine."""
        rules = self.rules
        return {
            "policy": rules.policy,
            "entry_mode": rules.entry_mode,
            "tp_gap_fill": rules.tp_gap_fill,
            "strict_tp": rules.strict_tp,
            "limit_valid_candles": rules.limit_valid_candles,
            "break_even_r": rules.break_even_r,
        }


@dataclass(frozen=True, slots=True)
class Position:
    """One signal; times in ms since the epoch. `resumed` is how far an earlier resolution came."""

    side: str | None
    entry: float | None
    stop: float | None
    target: float | None
    signal_ms: int | None = None
    expiry_ms: int | None = None
    limit: float | None = None
    stop_moves: tuple[tuple[float, float], ...] = ()
    resumed: Resolution | None = None


def resolve_positions(
    positions: Sequence[Position], series: CandleSeries, policy: Policy, *, finer: CandleSeries | None = None
) -> list[Resolution]:
    """What became of each position, in the order given."""
    if len(positions) < MANY or importlib.util.find_spec("numpy") is None:
        return [_walked(position, series, policy, finer) for position in positions]
    fresh = [row for row, position in enumerate(positions) if position.resumed is None]
    found = dict(zip(fresh, _framed([positions[row] for row in fresh], series, policy, finer), strict=True))
    return [found.get(row) or _walked(position, series, policy, finer) for row, position in enumerate(positions)]


def duration_ms(text: timedelta | str) -> int:
    """A duration such as `90m`, `12h`, `3d` or `2w` in ms; raises `InvalidInputError` for anything else."""
    if isinstance(text, timedelta):
        length: int | None = text // timedelta(milliseconds=1)
    else:
        timeframe = canonical_timeframe(text)
        length = None if timeframe is None or timeframe.endswith("M") else candle_milliseconds(timeframe)
    if length is None or length <= 0:
        raise InvalidInputError(f"{text!r} is no duration; write it as 90m, 12h, 3d or 2w")
    return length


def ceil_ms(moment: datetime) -> int:
    """Milliseconds since the epoch, rounded up: a candle that opens within the same ms is not before the signal."""
    return -(-to_epoch_us(moment) // 1000)


def _walked(position: Position, series: CandleSeries, policy: Policy, finer: CandleSeries | None) -> Resolution:
    return resolve(
        position.side,
        position.entry,
        position.stop,
        position.target,
        series,
        signal_time=position.signal_ms,
        expiry=position.expiry_ms,
        limit_price=position.limit,
        finer=finer,
        stop_moves=position.stop_moves,
        candle_ms=series.candle_ms or None,
        resumed=position.resumed,
        **policy.options,
    )


def _framed(
    positions: Sequence[Position], series: CandleSeries, policy: Policy, finer: CandleSeries | None
) -> list[Resolution]:
    from stateful_engine.domain.barrier_frames import resolve_frame

    frame = resolve_frame(
        [position.side for position in positions],
        [_number(position.entry) for position in positions],
        stops=[_number(position.stop) for position in positions],
        targets=[_number(position.target) for position in positions],
        signal_times=[_number(position.signal_ms) for position in positions],
        expiries=[_number(position.expiry_ms) for position in positions],
        limit_prices=[_number(position.limit) for position in positions],
        candles=series.frame(),
        finer=None if finer is None else finer.frame(),
        stop_moves={row: position.stop_moves for row, position in enumerate(positions) if position.stop_moves},
        **policy.options,
    )
    return [frame.resolution(row) for row in range(len(frame))]


def _number(value: float | None) -> float:
    return math.nan if value is None else value
