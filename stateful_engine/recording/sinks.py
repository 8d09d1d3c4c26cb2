"""Where the writer brings records: into the database, each exactly once, bad ones singled out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from stateful_engine.errors import ConfigurationError, SchemaError, StorageUnavailableError
from stateful_engine.recording.preparing import Item, Prepared, without_secrets
from stateful_engine.recording.rejects import Reject
from stateful_engine.recording.rows import TableRows
from stateful_engine.storage import intake
from stateful_engine.storage import tables as all_tables
from stateful_engine.storage.breath import breathe

if TYPE_CHECKING:
    from stateful_engine.storage.database import Database

AWAY = (StorageUnavailableError, SchemaError, ConfigurationError)
"""Errors that say nothing about the records: they are kept and tried again."""

HOPELESS = 8
"""Records in a row that fail before it is asked whether anything can be stored at all."""

_FAULTS_OF_DATA = frozenset({"DataError", "IntegrityError", "StatementError", "ValueError", "TypeError", "KeyError"})


@dataclass(slots=True)
class Stored:
    """What became of a batch: new rows by table, each record that cannot be stored, and those handed to others."""

    counts: Counter[str] = field(default_factory=Counter)
    rejects: dict[int, Reject] = field(default_factory=dict)
    forwarded: set[int] = field(default_factory=set)
    committed: bool = False


class Sink(Protocol):
    """Somewhere to bring encoded records to."""

    def store(self, batch: Prepared, awaited: Set[int] = frozenset()) -> Stored:
        """Store all of `batch` that can be stored; raises one of `AWAY` when nothing can be stored now.

        `awaited` are the indices of records whose maker waits until they are in the database.
        """


class DatabaseSink:
    """Stores batches in one transaction each; a batch with a bad record is halved until it stands alone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def store(self, batch: Prepared, awaited: Set[int] = frozenset()) -> Stored:  # noqa: ARG002
        """As `Sink.store`. Storing a record again changes nothing: its ids are known already."""
        stored = Stored(rejects=dict(batch.rejects))
        failures: list[tuple[Item, Exception]] = []
        if batch.items:
            self._store(batch.items, stored, failures)
        if failures and not stored.committed:
            _blame_the_environment(failures)
        for item, error in failures:
            stored.rejects[item.index] = Reject(without_secrets(item), reason_of(error))
        return stored

    def _store(self, items: Sequence[Item], stored: Stored, failures: list[tuple[Item, Exception]]) -> None:
        try:
            stored.counts.update(self._commit(items))
            stored.committed = True
        except AWAY:
            raise
        except Exception as error:  # noqa: BLE001  whatever the driver raises, the records beside it are stored
            if len(items) == 1:
                failures.append((items[0], error))
                if len(failures) == HOPELESS and not stored.committed:
                    _blame_the_environment(failures)
                return
            middle = len(items) // 2
            self._store(items[:middle], stored, failures)
            self._store(items[middle:], stored, failures)

    def _commit(self, items: Sequence[Item]) -> Mapping[str, int]:
        """Insert the rows of all items in one transaction, with what is derived from the new ones."""
        rows = merged(items)
        breathe()
        return intake.store(self._database, rows)


def merged(items: Sequence[Item]) -> TableRows:
    """The rows of all items by table, parents before children."""
    together: TableRows = {}
    for item in items:
        for name, rows in item.tables.items():
            together.setdefault(name, []).extend(rows)
    return {table.name: together[table.name] for table in all_tables.metadata.sorted_tables if table.name in together}


def reason_of(error: BaseException) -> str:
    """The kind of a fault, with the name that the database gives it, but without the values that caused it."""
    original = getattr(error, "orig", None)
    kinds = [type(error).__name__]
    if original is not None:
        kinds.append(type(original).__name__)
    return ": ".join(dict.fromkeys(kinds))


def _blame_the_environment(failures: Sequence[tuple[Item, Exception]]) -> None:
    """Where every record fails for another reason than its data (a missing right, a full disk), none is bad."""
    for _, error in failures:
        if not _is_fault_of_data(error):
            raise StorageUnavailableError(
                f"the database refuses every record ({reason_of(error)}); see its log, then repeat"
            ) from error


def _is_fault_of_data(error: Exception) -> bool:
    return any(kind.__name__ in _FAULTS_OF_DATA for kind in type(error).__mro__)
