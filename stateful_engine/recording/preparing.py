"""From encoded records to rows, ahead of the transaction: decoding, looking for secrets, filling in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orjson import Fragment

from stateful_engine.domain.cleanliness import texts_are_clean
from stateful_engine.recording import records
from stateful_engine.recording.forgotten import UNREADABLE, ForgottenPeople, Moments
from stateful_engine.recording.forms import blanks
from stateful_engine.recording.readings import Readings
from stateful_engine.recording.rejects import Reject
from stateful_engine.recording.repetition import Repetition
from stateful_engine.recording.rows import TableRows, rows_of

if TYPE_CHECKING:
    from stateful_engine.config import Settings


@dataclass(frozen=True, slots=True)
class Item:
    """One readable record: its place in the batch, when it was made (microseconds since the epoch), and its rows."""

    index: int
    payload: bytes
    created_us: int
    tables: TableRows


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch: all payloads, what could be read of them, and by its index what could not."""

    payloads: Sequence[bytes]
    items: Sequence[Item] = ()
    rejects: dict[int, Reject] = field(default_factory=dict)


Prepare = Callable[[Sequence[bytes]], Prepared]


class Preparer:
    """Prepares batches by the settings of an app."""

    def __init__(self, settings: Settings, *, give_way: Callable[[], None] = lambda: None) -> None:
        """`give_way` is called before each record, for the sake of the threads that serve requests."""
        self._settings = settings
        self._readings = Readings(settings)
        self._repetition = Repetition()
        self._give_way = give_way
        self._forgotten = ForgottenPeople(settings)

    def __call__(self, payloads: Sequence[bytes]) -> Prepared:
        """Read a batch; what is no record is told apart, never raised."""
        items: list[Item] = []
        rejects: dict[int, Reject] = {}
        forgotten = self._forgotten.moments()
        for index, payload in enumerate(payloads):
            self._give_way()
            try:
                items.append(self._item(index, payload, forgotten))
            except UNREADABLE as error:
                rejects[index] = Reject(payload, f"unreadable: {type(error).__name__}")
        return Prepared(payloads, items, rejects)

    def _item(self, index: int, payload: bytes, forgotten: Moments) -> Item:
        created_us, tables = self._read(payload)
        if forgotten:
            tables = self._forgotten.left_out(tables, created_us, forgotten)
        return Item(index, payload, created_us, tables)

    def _read(self, payload: bytes) -> tuple[int, TableRows]:
        """When a record was made, and its rows."""
        # Where people are hidden, each id of a caller has to be looked at.
        call = None if self._settings.hash_user_ids else blanks(payload)
        known = call and self._repetition.rows(call)
        if call and known:
            return call.created_us, known
        record = records.decode(payload)
        clean = texts_are_clean(records.head(payload))
        tables = rows_of(record, self._settings, texts_are_clean=clean, readings=self._readings)
        if call:
            self._repetition.keep(call, tables)
        return record.created_us, tables


def without_secrets(item: Item) -> bytes:
    """The rows of a record as a record of their own, for wherever it rests on its way: without secrets and long bodies.

    JSON that is text already is put in as it is.
    """
    tables = {
        name: [{key: Fragment(value) if type(value) is bytes else value for key, value in row.items()} for row in rows]
        for name, rows in item.tables.items()
    }
    return records.encode(records.Rows(tables, item.created_us))
