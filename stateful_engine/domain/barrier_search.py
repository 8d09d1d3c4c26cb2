"""Finding the first candle that touches either of two prices, for many signals at once and however far away it is.

A pyramid of block maxima and minima (each level halves the one below) lets a search skip a block of 2**k candles that
holds neither price, so a search costs O(log distance) and is exact; the extremes of the skipped blocks are the
excursions on the way. numpy comes with the extra `analysis` and is imported on use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stateful_engine.errors import InvalidInputError, MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

CHUNK = 1 << 14


def require_numpy() -> None:
    """Refuse early, with the remedy, when numpy is not installed."""
    try:
        import numpy  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "Resolving many signals at once needs numpy; install the extra: pip install 'stateful_engine[analysis]'."
        ) from error


@dataclass(frozen=True, slots=True)
class CandleFrame:
    """The candles of one symbol, prepared once for any number of searches; make it with `prepare_candles`.

    Highs and lows include the open. `tops` and `bottoms` hold the pyramid, level after level from `offsets`; `gaps`
    counts, up to each candle, the places where at least one whole candle is missing.
    """

    times: Ints
    opens: Floats
    highs: Floats
    lows: Floats
    closes: Floats
    candle_ms: int
    gaps: Ints
    tops: Floats
    bottoms: Floats
    offsets: Ints

    def __len__(self) -> int:
        return len(self.times)


def prepare_candles(
    times: ArrayLike,
    opens: ArrayLike,
    *,
    highs: ArrayLike,
    lows: ArrayLike,
    closes: ArrayLike,
    candle_ms: int | None = None,
) -> CandleFrame:
    """Arrays of candles (open times in ms since the epoch, ascending, complete candles only) made ready for searching.

    Rows with a price that is 0 or not finite count as missing. The candle length is `candle_ms`, else the smallest
    spacing.
    Raises InvalidInputError for candles out of order, MissingExtraError without numpy.
    """
    require_numpy()
    import numpy as np

    stamps = np.asarray(times, dtype=np.int64)
    prices = np.vstack([np.asarray(column, dtype=np.float64) for column in (opens, highs, lows, closes)])
    spacings = np.diff(stamps)
    if len(spacings) and spacings.min() <= 0:
        raise InvalidInputError("The candles are not in ascending order of time; sort them and drop repeated ones.")
    length = candle_ms or (int(spacings.min()) if len(spacings) else 0)
    sound = (np.isfinite(prices) & (prices != 0)).all(axis=0)
    stamps, prices = stamps[sound], prices[:, sound]
    tops, offsets = _pyramid(prices[:2].max(axis=0))
    bottoms, _ = _pyramid(-prices[[0, 2]].min(axis=0))
    return CandleFrame(
        times=stamps,
        opens=prices[0],
        highs=tops[: len(stamps)],
        lows=-bottoms[: len(stamps)],
        closes=prices[3],
        candle_ms=length,
        gaps=_gap_counts(stamps, length),
        tops=tops,
        bottoms=-bottoms,
        offsets=offsets,
    )


def _pyramid(values: Floats) -> tuple[Floats, Ints]:
    """Block maxima of 1, 2, 4, … values in one flat array, and where each level begins.

    The last cell is a block that nothing passes: a search that stopped at the end of the candles looks there.
    """
    import numpy as np

    levels = [values]
    while len(levels[-1]) > 1:
        below = levels[-1]
        padded = below if len(below) % 2 == 0 else np.append(below, -np.inf)
        levels.append(padded.reshape(-1, 2).max(axis=1))
    starts = np.cumsum([0, *(len(level) for level in levels)])[:-1]
    return np.concatenate([*levels, [np.inf]]), starts.astype(np.int64)


def _gap_counts(times: Ints, candle_ms: int) -> Ints:
    import numpy as np

    counts = np.zeros(len(times), dtype=np.int64)
    if candle_ms > 0 and len(times) > 1:
        counts[1:] = np.cumsum(np.diff(times) >= 2 * candle_ms)
    return counts


@dataclass(frozen=True, slots=True)
class Touches:
    """For each search: the candle that touched (or the end of the search) and the extremes strictly before it."""

    at: Ints
    top: Floats
    bottom: Floats


def first_touches(frame: CandleFrame, starts: Ints, *, ends: Ints, above: Floats, below: Floats) -> Touches:
    """The first candle in `[start, end)` whose high is at least `above` or whose low is at most `below`.

    A search that finds none stops at its end; extremes of an empty stretch are -inf and inf. Works in order of time and
    in chunks, so that what is read stays in the processor's cache.
    """
    import numpy as np

    found = Touches(np.array(starts, dtype=np.int64), np.full(len(starts), -np.inf), np.full(len(starts), np.inf))
    searching = np.flatnonzero(starts < ends)
    searching = searching[np.argsort(starts[searching], kind="stable")]
    for first in range(0, len(searching), CHUNK):
        lanes = searching[first : first + CHUNK]
        search = _Search(frame, starts[lanes], stop=ends[lanes], above=above[lanes], below=below[lanes])
        order = search.run()
        found.at[lanes[order]] = search.position
        found.top[lanes[order]], found.bottom[lanes[order]] = search.top, search.bottom
    return found


class _Search:
    """Many searches side by side, all on the same level of the pyramid at a time."""

    def __init__(self, frame: CandleFrame, position: Ints, *, stop: Ints, above: Floats, below: Floats) -> None:
        import numpy as np

        self.frame = frame
        self.position, self.stop, self.above, self.below = position, stop, above, below
        self.top = np.full(len(position), -np.inf)
        self.bottom = np.full(len(position), np.inf)
        self.level = np.full(len(position), len(frame.offsets) - 1)

    def run(self) -> Ints:
        """Climb, then descend; afterwards the arrays stand in the order that is returned."""
        import numpy as np

        self._climb()
        order = np.argsort(-self.level, kind="stable")
        for name in ("position", "stop", "above", "below", "top", "bottom", "level"):
            setattr(self, name, getattr(self, name)[order])
        self._descend()
        return order

    def _climb(self) -> None:
        """Pass whole blocks until one holds a touch or the search's end.

        A block is tested where it has no left neighbour in the search: at odd numbers, and at the top.
        """
        import numpy as np

        climbing, top_level = np.arange(len(self.position)), len(self.frame.offsets) - 1
        for level in range(top_level + 1):
            block = self.position[climbing] >> level
            alone = ((block & 1) == 1) | (level == top_level)
            tested = climbing[alone]
            passed, beyond, high, low = self._passed(block[alone], level, tested)
            moved = tested[passed]
            self.position[moved] = beyond[passed]
            self.top[moved] = np.maximum(self.top[moved], high[passed])
            self.bottom[moved] = np.minimum(self.bottom[moved], low[passed])
            self.level[tested[~passed]] = level
            alone[alone] = ~passed
            climbing = climbing[~alone]

    def _descend(self) -> None:
        """Halve the block that stopped the climb: pass its first half, or stay before it, down to one candle."""
        import numpy as np

        for level in range(len(self.frame.offsets) - 2, -1, -1):
            among = slice(0, int(np.count_nonzero(self.level > level)))
            position, top, bottom = self.position[among], self.top[among], self.bottom[among]
            passed, beyond, high, low = self._passed(position >> level, level, among)
            position[:] = np.where(passed, beyond, position)
            np.maximum(top, np.where(passed, high, -np.inf), out=top)
            np.minimum(bottom, np.where(passed, low, np.inf), out=bottom)

    def _passed(self, block: Ints, level: int, lanes: Ints | slice) -> tuple[NDArray[np.bool_], Ints, Floats, Floats]:
        """Which blocks hold no touch and end before the search does, where they end, and their extremes."""
        cell = block + self.frame.offsets[level]
        high, low = self.frame.tops.take(cell), self.frame.bottoms.take(cell)
        beyond = (block + 1) << level
        passed = (high < self.above[lanes]) & (low > self.below[lanes]) & (beyond <= self.stop[lanes])
        return passed, beyond, high, low
