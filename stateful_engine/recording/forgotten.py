"""People who were forgotten while records about them were still on their way.

A record may wait for a database that is away, or be set aside as refused, while its person is forgotten. So the spool
folder remembers who was forgotten when, by a keyed digest and not by name, and whoever stores a record made before that
leaves the person out. In the usual case there is no such file, and looking for it is all that this costs.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from stateful_engine.domain import clock
from stateful_engine.domain.pseudonyms import people_in, without_person
from stateful_engine.domain.vocabulary import InteractionType
from stateful_engine.installation import key_for
from stateful_engine.recording import records
from stateful_engine.recording.records import Row, Rows
from stateful_engine.recording.rows import PEOPLE, TableRows, rows_of

if TYPE_CHECKING:
    from stateful_engine.config import Settings

FILE = "forgotten.jsonl"
MARK = "forgotten"
_GENERATED = InteractionType.SIGNAL_GENERATED.value
_ORIGIN = frozenset({"user_agent", "ip_address", "session_id", "referer", "user_query"})

UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""What reading a record may raise that is none."""

Moments = Mapping[str, int]
"""When people were forgotten, in microseconds since the epoch, by their digests."""


class ForgottenPeople:
    """Who was forgotten on this machine; all processes that share the spool folder see the same."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path = settings.spool_dir / FILE
        self._seen: tuple[int, int] | None = None
        self._moments: dict[str, int] = {}

    def add(self, names: Collection[str]) -> None:
        """From now on leave a person out of records that were made before now."""
        now = clock.epoch_us()
        lines = b"".join(orjson.dumps({"who": self._digest(name), "at": now}) + b"\n" for name in names)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.write(descriptor, lines)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def moments(self) -> Moments:
        """Who was forgotten when; read again when the file has changed."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return {}
        seen = (found.st_mtime_ns, found.st_size)
        if seen != self._seen:
            self._moments = {entry["who"]: entry["at"] for entry in _entries(self._path)}
            self._seen = seen
        return self._moments

    def left_out(self, tables: TableRows, made_us: int, moments: Moments) -> TableRows:
        """The rows of a record without those who were forgotten after it was made."""
        if made_us > max(moments.values()):
            return tables
        named = {name for rows in tables.values() for row in rows for name in _names_in(row)}
        gone = {name for name in named if made_us <= moments.get(self._digest(name), -1)}
        return without_people(tables, gone) if gone else tables

    def _digest(self, name: str) -> str:
        key = key_for(self._settings, "forgotten people")
        return hmac.new(key, name.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def without_people(tables: TableRows, names: Collection[str]) -> TableRows:
    """Rows by table without those that are about these people; signals stay, and forget who asked for them."""
    theirs = [row for rows in tables.values() for row in rows if _is_about(row, names)]
    asked = {row["query_id"] for row in theirs if "query_id" in row}
    asked |= {row["signal_id"] for row in theirs if row.get("interaction_type") == _GENERATED}
    return {
        table: [
            _anonymous(row, names, origin=not asked.isdisjoint((row.get("query_id"), row.get("signal_id"))))
            for row in rows
            if not _is_about(row, names)
        ]
        for table, rows in tables.items()
    }


def redone(payload: bytes, names: Collection[str], settings: Settings) -> bytes | None:
    """An encoded record that waits, without these people; None when it is no record but holds their names."""
    try:
        record = records.decode(payload)
        tables = rows_of(record, settings)
    except UNREADABLE:
        return None if any(name.encode() in payload for name in names) else payload
    kept = without_people(tables, names)
    if kept == tables:
        return payload
    return records.encode(
        Rows({table: [_plain(row) for row in rows] for table, rows in kept.items()}, record.created_us)
    )


def _is_about(row: Row, names: Collection[str]) -> bool:
    return any(row.get(column) is not None and str(row[column]) in names for column in PEOPLE)


def _anonymous(row: Row, names: Collection[str], *, origin: bool) -> Row:
    """A row of somebody else, or of nobody, in which these people are not named."""
    changed = {}
    for column, value in row.items():
        if isinstance(value, (dict, list, bytes)):
            said = orjson.loads(value) if isinstance(value, bytes) else value
            kept = without_person(said, names, MARK)
            if kept != said:
                changed[column] = kept
    blanks = dict.fromkeys(_ORIGIN & row.keys()) if origin or changed else {}
    return {**row, **blanks, **changed}


def _names_in(row: Row) -> set[str]:
    named = {str(row[column]) for column in PEOPLE if row.get(column) is not None}
    for value in row.values():
        if isinstance(value, (dict, list, bytes)):
            named |= set(people_in(orjson.loads(value) if isinstance(value, bytes) else value))
    return named


def _plain(row: Row) -> Row:
    return {name: orjson.loads(value) if isinstance(value, bytes) else value for name, value in row.items()}


def _entries(path: Path) -> list[dict[str, Any]]:
    """The entries of the file; a line whose end a power cut took is left out."""
    found = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            continue
    return found
