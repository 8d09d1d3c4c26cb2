"""Reading a journal that another program wrote: a SQLite file with tables of our names, which is never written to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from stateful_engine.errors import InvalidInputError


class ForeignJournal:
    """The tables of a SQLite file, row by row as dicts; `with` opens and closes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> ForeignJournal:
        if not self._path.is_file():
            raise InvalidInputError(f"{self._path} is no file; give the path of the journal")
        self._connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)
        self._connection.row_factory = sqlite3.Row
        try:
            self._connection.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.DatabaseError:
            self._connection.close()
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
        """The rows of one of `tables()`, in the order in which they were written."""
        assert self._connection is not None
        quoted = '"' + table.replace('"', '""') + '"'
        with closing(self._connection.execute(f"SELECT * FROM {quoted} ORDER BY rowid")) as cursor:
            for row in cursor:
                yield dict(row)
