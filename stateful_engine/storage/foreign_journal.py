"""Reading a journal that another program wrote: a SQLite file with tables of our names, which is never written to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from stateful_engine.errors import InvalidInputError

PATIENCE = 5.0
"""Seconds to wait for somebody who is writing the journal."""


class ForeignJournal:
    """The tables of a SQLite file, row by row as dicts; `with` opens and closes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> ForeignJournal:
        if not self._path.is_file():
            raise InvalidInputError(f"{self._path} is no file; give the path of the journal")
        self._connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", timeout=PATIENCE, uri=True)
        self._connection.row_factory = sqlite3.Row
        self._connection.text_factory = _text
        try:
            self._connection.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.DatabaseError as error:
            self._connection.close()
            if isinstance(error, sqlite3.OperationalError):
                raise InvalidInputError(
                    f"{self._path} cannot be read ({error}); stop who holds it, or copy it"
                ) from None
            raise InvalidInputError(f"{self._path} is no SQLite database; give the path of the journal") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def tables(self) -> set[str]:
        """The names of the tables in the file."""
        assert self._connection is not None
        found = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {row["name"] for row in found}

    def rows(self, table: str) -> Iterator[Mapping[str, Any]]:
        """The rows of one of `tables()`, in the order in which they were written where that is known.

        A damaged table raises `InvalidInputError` after the last row that can be read.
        """
        assert self._connection is not None
        quoted = '"' + table.replace('"', '""') + '"'
        try:
            with closing(self._cursor(f"SELECT * FROM {quoted}")) as cursor:
                for row in cursor:
                    yield {name: _text(row[name]) if type(row[name]) is bytes else row[name] for name in row.keys()}
        except sqlite3.DatabaseError as error:
            raise InvalidInputError(
                f"the table {table} cannot be read to its end ({error}); try again with what `.recover` makes of it"
            ) from None

    def _cursor(self, query: str) -> sqlite3.Cursor:
        assert self._connection is not None
        try:
            return self._connection.execute(f"{query} ORDER BY rowid")
        except sqlite3.OperationalError:
            return self._connection.execute(query)


def _text(raw: bytes) -> str:
    """Text as it was meant: journals may hold what is no UTF-8."""
    return raw.decode("utf-8", "replace")
