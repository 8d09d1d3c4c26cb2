"""How thousands of signals on one symbol ended, by the rules of `barrier_rules` on numpy arrays.

The answers are those of `barriers.resolve`, bit for bit, whatever the distance to the exit. Signals whose stop was
moved and candles that need a finer series go through the plain walk. numpy comes with the extra `analysis`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, overload

from stateful_engine.domain.barrier_book import EXITS, OUTCOMES, REASONS, Book
from stateful_engine.domain.barrier_rules import BREAK_EVEN_R, BarrierRules, EntryMode, Resolution, side_sign
from stateful_engine.domain.barrier_search import CandleFrame, prepare_candles, require_numpy
from stateful_engine.domain.barriers import resolve
from stateful_engine.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]
    Objects = NDArray[np.object_]

__all__ = ["CandleFrame", "OutcomeFrame", "prepare_candles", "resolve_frame"]

TIMES = frozenset({"entry_time", "exit_time", "resumable_from"})


@dataclass(frozen=True, slots=True)
class OutcomeFrame:
    """The columns of `Resolution`, one row per signal in the order given.

    Numbers and times (ms) are float64 with NaN for None; `exit_reason`, `outcome` and `reason` hold the vocabularies'
    members or None.
    """

    exit_reason: Objects
    outcome: Objects
    entry_time: Floats
    entry_price: Floats
    exit_time: Floats
    exit_price: Floats
    pnl_percentage: Floats
    r_multiple: Floats
    mfe_r: Floats
    mae_r: Floats
    ambiguous: Flags
    data_gap: Flags
    mfe_pct: Floats
    mae_pct: Floats
    reason: Objects
    resumable_from: Floats
    best_price: Floats
    worst_price: Floats
    candles_waited: Ints

    def __len__(self) -> int:
        return len(self.outcome)

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns by name, as a DataFrame takes them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def resolution(self, row: int) -> Resolution:
        """One row as the plain walk would give it."""
        return Resolution(**{name: _plain(name, column[row]) for name, column in self.columns().items()})


def resolve_frame(
    sides: Sequence[str | None],
    entries: ArrayLike,
    *,
    stops: ArrayLike,
    targets: ArrayLike,
    signal_times: ArrayLike,
    candles: CandleFrame,
    expiries: ArrayLike | None = None,
    limit_prices: ArrayLike | None = None,
    finer: CandleFrame | None = None,
    stop_moves: Mapping[int, Sequence[tuple[float, float]]] | None = None,
    entry_mode: str = "at_signal",
    limit_valid_candles: int | None = None,
    policy: str = "pessimistic",
    strict_tp: bool = False,
    tp_gap_fill: str = "open",
    break_even_r: float = BREAK_EVEN_R,
) -> OutcomeFrame:
    """Resolve many signals of one symbol; arguments as in `barriers.resolve`, one array element per signal.

    Missing prices and times are NaN, None or 0 as there; times are ms since the epoch. `candles` and `finer` come from
    `prepare_candles`; `stop_moves` maps the row of a signal to its moves. Costs O(log distance) per signal.
    Raises InvalidInputError for unknown options or columns of different length, MissingExtraError without numpy.
    """
    require_numpy()
    rules = BarrierRules.of(
        policy=policy,
        entry_mode=entry_mode,
        tp_gap_fill=tp_gap_fill,
        strict_tp=strict_tp,
        limit_valid_candles=limit_valid_candles,
        break_even_r=break_even_r,
    )
    signals = _Signals(
        sides=sides,
        entries=_prices(entries),
        stops=_prices(stops),
        targets=_prices(targets),
        limits=_prices(limit_prices, count=len(sides)),
        signal_times=_times(signal_times, count=len(sides)),
        expiries=_times(expiries, count=len(sides)),
    )
    book = signals.book(rules, candles)
    book.run()
    frame = _report(book)
    moves = stop_moves or {}
    drilled = book.undecided().tolist() if finer is not None else ()
    for row in {*moves, *drilled}:
        _write(frame, row, signals.walk(row, rules, candles=candles, finer=finer, stop_moves=moves.get(row, ())))
    return frame


@dataclass(frozen=True, slots=True)
class _Signals:
    """The signals as given, cleaned: what is missing is NaN."""

    sides: Sequence[str | None]
    entries: Floats
    stops: Floats
    targets: Floats
    limits: Floats
    signal_times: Floats
    expiries: Floats

    def __post_init__(self) -> None:
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(lengths.values())) > 1:
            raise InvalidInputError(f"The columns differ in length ({lengths}); give one element per signal in each.")

    def book(self, rules: BarrierRules, candles: CandleFrame) -> Book:
        import numpy as np

        planned = self.entries
        if rules.entry_mode is EntryMode.LIMIT:
            planned = np.where(np.isnan(self.limits), self.entries, self.limits)
        return Book(
            rules,
            candles,
            signs=_signs(self.sides),
            planned=planned,
            stops=self.stops,
            targets=self.targets,
            signal_times=self.signal_times,
            expiries=self.expiries,
        )

    def walk(
        self,
        row: int,
        rules: BarrierRules,
        *,
        candles: CandleFrame,
        finer: CandleFrame | None,
        stop_moves: Sequence[tuple[float, float]],
    ) -> Resolution:
        """One row by the plain walk."""
        return resolve(
            self.sides[row],
            self.entries[row],
            self.stops[row],
            self.targets[row],
            _Rows(candles),
            signal_time=_known(self.signal_times[row]),
            expiry=_known(self.expiries[row]),
            entry_mode=rules.entry_mode,
            limit_price=self.limits[row],
            limit_valid_candles=rules.limit_valid_candles,
            policy=rules.policy,
            strict_tp=rules.strict_tp,
            tp_gap_fill=rules.tp_gap_fill,
            finer=None if finer is None else _Rows(finer),
            stop_moves=stop_moves,
            break_even_r=rules.break_even_r,
            candle_ms=candles.candle_ms,
        )


class _Rows(Sequence[tuple[float, ...]]):
    """The candles of a frame as the plain walk reads them, made one by one."""

    def __init__(self, candles: CandleFrame, first: int = 0, last: int | None = None) -> None:
        self._candles, self._first = candles, first
        self._last = len(candles) if last is None else last

    def __len__(self) -> int:
        return self._last - self._first

    @overload
    def __getitem__(self, index: int) -> tuple[float, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[float, ...]]: ...
    def __getitem__(self, index: int | slice) -> tuple[float, ...] | Sequence[tuple[float, ...]]:
        if isinstance(index, slice):
            first, last, _ = index.indices(len(self))
            return _Rows(self._candles, self._first + first, self._first + max(first, last))
        if not 0 <= index < len(self):
            raise IndexError(index)
        candles, at = self._candles, self._first + index
        columns = (candles.times, candles.opens, candles.highs, candles.lows, candles.closes)
        return tuple(column[at].item() for column in columns)


def _report(book: Book) -> OutcomeFrame:
    import numpy as np

    pnl, r_multiple = book.in_percent(book.exit_price), book.in_r(book.exit_price)
    return OutcomeFrame(
        exit_reason=np.array(EXITS, dtype=object)[book.exit],
        outcome=np.array(OUTCOMES, dtype=object)[book.outcomes(pnl, r_multiple)],
        entry_time=book.entry_time,
        entry_price=book.entry * book.signs,
        exit_time=book.exit_time,
        exit_price=book.exit_price * book.signs,
        pnl_percentage=pnl,
        r_multiple=r_multiple,
        mfe_r=book.in_r(book.best),
        mae_r=book.in_r(book.worst),
        ambiguous=book.ambiguous,
        data_gap=book.data_gaps(),
        mfe_pct=book.in_percent(book.best),
        mae_pct=book.in_percent(book.worst),
        reason=np.array(REASONS, dtype=object)[book.reason],
        resumable_from=book.resumable_from(),
        best_price=book.best * book.signs,
        worst_price=book.worst * book.signs,
        candles_waited=np.where(book.judged(), book.waited, 0),
    )


def _write(frame: OutcomeFrame, row: int, resolution: Resolution) -> None:
    import numpy as np

    for name, column in frame.columns().items():
        value = getattr(resolution, name)
        column[row] = np.nan if value is None and column.dtype != object else value


def _plain(name: str, value: Any) -> Any:
    """A cell as `Resolution` holds it: None for NaN, and Python's own numbers."""
    if value is None or isinstance(value, str):
        return value
    if math.isnan(value):
        return None
    return int(value) if name in TIMES else value.item()


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _signs(sides: Sequence[str | None]) -> Ints:
    import numpy as np

    signs = {side: side_sign(side) for side in set(sides)}
    return np.array([*map(signs.__getitem__, sides)], dtype=np.int64)


def _prices(values: ArrayLike | None, *, count: int = 0) -> Floats:
    """Prices with NaN for what means a missing one."""
    import numpy as np

    if values is None:
        return np.full(count, np.nan)
    prices = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(prices) & (prices != 0), prices, np.nan)


def _times(values: ArrayLike | None, *, count: int) -> Floats:
    import numpy as np

    return np.full(count, np.nan) if values is None else np.trunc(np.asarray(values, dtype=np.float64))
