"""When the result of a signal counts: at a fixed age, whatever happened before.

Counting signals as they resolve favours whatever resolves fast: with a target of 3 R and a stop of 1 R the stops come
in first, and an engine without any edge looks ruinous. So each signal counts once its horizon has passed and not a
moment earlier, by the R it had then: that of its exit, or marked to market when it was still open. A signal that was
open without a known price then is reported as unmarked, never dropped in silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta

from stateful_engine.domain.moments import Proportion, RatioMoments, cluster_moments
from stateful_engine.domain.returns import direction, r_multiple
from stateful_engine.domain.vocabulary import Word
from stateful_engine.errors import InvalidInputError


class Ripeness(Word):
    """What is known of a signal at its horizon."""

    CLOSED = "closed"
    MARKED = "marked"
    UNFILLED = "unfilled"
    RUNNING = "running"
    UNMARKED = "unmarked"
    WITHOUT_RISK = "without_risk"


@dataclass(frozen=True, slots=True)
class ExposedSignal:
    """A signal that was shown in an experiment: its cluster (user, episode, time block), plan, exit if any, and mark.

    Prices in the symbol's quote currency, times aware. `mark_price` is the last price at or before
    `created_at + horizon`; `r` wins over prices when the R multiple of the exit is already known; `filled` False means
    it never became a trade, which is 0 R for everyone who followed it.
    """

    cluster: str
    created_at: datetime
    action: str
    entry_price: float | None = None
    stop_loss: float | None = None
    exit_price: float | None = None
    closed_at: datetime | None = None
    r: float | None = None
    mark_price: float | None = None
    filled: bool = True


@dataclass(frozen=True, slots=True)
class MaturedValue:
    """What one signal contributes: its R at the horizon, None while `ripeness` says that it is not known."""

    cluster: str
    ripeness: Ripeness
    r: float | None = None


@dataclass(frozen=True, slots=True)
class MaturityCounts:
    """How many exposed signals are known, and why the others are not. Added up with `+`."""

    closed: int = 0
    marked: int = 0
    unfilled: int = 0
    running: int = 0
    unmarked: int = 0
    without_risk: int = 0

    @property
    def matured(self) -> int:
        """Signals with a value."""
        return self.closed + self.marked + self.unfilled

    @property
    def due(self) -> int:
        """Signals whose horizon has passed and that can have an R."""
        return self.matured + self.unmarked

    @property
    def share(self) -> float | None:
        """Matured signals as a share of all that can have an R; None without any."""
        possible = self.due + self.running
        return self.matured / possible if possible else None

    @property
    def unmarked_share(self) -> float:
        """Due signals without a price as a share of all due ones, 0 without any."""
        return self.unmarked / self.due if self.due else 0.0

    def __add__(self, other: MaturityCounts) -> MaturityCounts:
        return MaturityCounts(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


@dataclass(frozen=True, slots=True)
class Matured:
    """The matured values of one arm as (cluster, R), and how complete they are."""

    values: tuple[tuple[str, float], ...] = ()
    counts: MaturityCounts = field(default_factory=MaturityCounts)

    @property
    def moments(self) -> RatioMoments:
        """The moments of R per signal, clustered."""
        return cluster_moments(self.values)

    @property
    def wins(self) -> Proportion:
        """How many of the values are above 0 R."""
        return Proportion(len(self.values), sum(r > 0 for _, r in self.values))


def matured_value(signal: ExposedSignal, *, now: datetime, horizon: timedelta) -> MaturedValue:
    """What a signal contributes at `now` when results count at the age `horizon`; naive times are refused."""
    _check_times(signal, now, horizon)
    due = signal.created_at + horizon
    if not _can_have_r(signal):
        return MaturedValue(signal.cluster, Ripeness.WITHOUT_RISK)
    if now < due:
        return MaturedValue(signal.cluster, Ripeness.RUNNING)
    if not signal.filled:
        return MaturedValue(signal.cluster, Ripeness.UNFILLED, 0.0)
    at_exit = _r_at(signal, signal.exit_price) if signal.r is None else signal.r
    if at_exit is not None and (signal.closed_at is None or signal.closed_at <= due):
        return MaturedValue(signal.cluster, Ripeness.CLOSED, at_exit)
    at_mark = _r_at(signal, signal.mark_price)
    if at_mark is None:
        return MaturedValue(signal.cluster, Ripeness.UNMARKED)
    return MaturedValue(signal.cluster, Ripeness.MARKED, at_mark)


def mature(signals: Iterable[ExposedSignal], *, now: datetime, horizon: timedelta) -> Matured:
    """The matured values of the signals of one arm, and the count of what is not known yet."""
    results = [matured_value(signal, now=now, horizon=horizon) for signal in signals]
    values = tuple((one.cluster, one.r) for one in results if one.r is not None)
    counts = {ripeness.value: 0 for ripeness in Ripeness}
    for one in results:
        counts[one.ripeness.value] += 1
    return Matured(values, MaturityCounts(**counts))


def _check_times(signal: ExposedSignal, now: datetime, horizon: timedelta) -> None:
    times = (signal.created_at, now, signal.closed_at)
    if any(moment is not None and moment.tzinfo is None for moment in times):
        raise InvalidInputError("a naive time has no place on the time line; attach a timezone, for example UTC")
    if horizon <= timedelta(0):
        raise InvalidInputError("the horizon must be longer than 0; give the age at which a result counts")


def _can_have_r(signal: ExposedSignal) -> bool:
    """A trade with a risk: BUY or SELL, with R already known or a stop on the losing side of the entry."""
    return bool(direction(signal.action)) and (signal.r is not None or _r_at(signal, signal.entry_price) is not None)


def _r_at(signal: ExposedSignal, price: float | None) -> float | None:
    return r_multiple(signal.action, signal.entry_price, signal.stop_loss, price)
