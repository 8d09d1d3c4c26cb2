"""The guard around everything that merely observes: our failure is counted and logged, never raised into the host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from stateful_engine.errors import ConfigurationError, SchemaError, StorageUnavailableError
from stateful_engine.logging import logger

ArgumentT = TypeVar("ArgumentT")
ResultT = TypeVar("ResultT")


class Guard:
    """Counts what went wrong in passing, per place; one per app, so that health can show it."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._seen: set[tuple[str, type[BaseException]]] = set()
        self._places: dict[str, _Guarded] = {}

    def __call__(self, place: str) -> _Guarded:
        """A context manager that swallows any `Exception` raised inside it and counts it under `place`."""
        guarded = self._places.get(place)
        if guarded is None:
            guarded = self._places[place] = _Guarded(self, place)
        return guarded

    def attempt(self, place: str, work: Callable[[ArgumentT], ResultT], argument: ArgumentT) -> ResultT | None:
        """What `work` makes of `argument`; None when it fails. As the block above, for where microseconds count."""
        try:
            return work(argument)
        except Exception as error:  # noqa: BLE001  the guard itself
            self.caught(place, error)
            return None

    def count(self, what: str, n: int = 1) -> None:
        """Add `n` to the counter `what`."""
        self._counts[what] += n

    def snapshot(self) -> dict[str, int]:
        """All counters with their present values."""
        return dict(self._counts)

    def caught(self, place: str, error: BaseException) -> None:
        """Count a failure; the first of each kind at each place is logged, without the data that caused it."""
        self._counts[f"failed_{place}"] += 1
        key = (place, type(error))
        if key in self._seen:
            return
        self._seen.add(key)
        logger.warning(
            "stateful_engine could not %s (%s); the host is not affected; more of this kind are only counted",
            place.replace("_", " "),
            _reason(error),
            exc_info=logger.isEnabledFor(10),
        )


def _reason(error: BaseException) -> str:
    """Our own words where they tell of the installation and not of a record; of other errors only the kind."""
    if isinstance(error, (ConfigurationError, SchemaError, StorageUnavailableError)):
        return error.message
    return type(error).__name__


class _Guarded:
    __slots__ = ("_guard", "_place")

    def __init__(self, guard: Guard, place: str) -> None:
        self._guard = guard
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        self._guard.caught(self._place, error)
        return True
