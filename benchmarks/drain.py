"""How fast the spool empties: our way into PostgreSQL against COPY of the same rows, into SQLite against executemany.

    python benchmarks/drain.py [--records 10000] [--rounds 5]

Two kinds of records: signals that an engine reported (one row each), and tracked calls (the query with its answer of
about 1 KB, the signal that is read from the answer, an interaction). Everything goes 1000 records at a time.

store   from rows as dicts to the last COMMIT: formatting, each row exactly once, pre-aggregates kept. The gates.
drain   from the segment file to the last COMMIT: reading, checking, decoding and looking for secrets as well.

The reference is handed the very same rows in the form in which the driver wants them (text of COPY, tuples) and only
inserts them. Rounds are interleaved; the tables are emptied before each.
"""

from __future__ import annotations

import argparse
import io
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import common
import orjson

from stateful_engine.config import Settings
from stateful_engine.domain import clock, identifiers
from stateful_engine.domain.extraction import extract
from stateful_engine.guard import Guard
from stateful_engine.recording.columns import signal_row
from stateful_engine.recording.forms import Form
from stateful_engine.recording.preparing import Preparer
from stateful_engine.recording.recorder import Recorder
from stateful_engine.recording.records import Record, Rows, encode
from stateful_engine.recording.sinks import DatabaseSink
from stateful_engine.storage import migrate, tables
from stateful_engine.storage.database import Database

TABLES = ("signal_history", "gpt_query_log", "user_interaction")
BATCH = 1000
CALLERS = 300
SETTINGS = Settings()


def signals(count: int) -> list[Record]:
    """Signals as an engine reports them."""
    found = extract(common.BODY).signals[0]
    context = {"source": "API", "source_engine": "sharp"}
    made = ((identifiers.signal_id(), clock.epoch_us()) for _ in range(count))
    return [Rows({"signal_history": [signal_row(each, found, context, created_us=now)]}, now) for each, now in made]


def calls(count: int) -> list[Record]:
    """Tracked calls as the decorator records them: the same question of many callers."""
    body, origin = orjson.dumps(common.BODY), {"interaction_source": "CHAT_GPT", "source": "CHAT_GPT"}
    query = {
        "endpoint": "/api/gpts/signal",
        "method": "GET",
        "request_params": {"symbol": "BTCUSDT", "tf": "1H"},
        "user_agent": "Mozilla/5.0 ChatGPT-User/1.0",
        "ip_address": "127.0.0.1",
    }
    unfolded = {**origin, "source_engine": None, "mapping": None}
    forms = [Form({**query, "user_ref": f"{number:032x}"}, unfolded) for number in range(CALLERS)]
    return [_call(forms[number % CALLERS], body) for number in range(count)]


def _call(form: Form, body: bytes) -> bytes:
    now = clock.epoch_us()
    told: dict[str, Any] = {"status": 200, "milliseconds": 1.25, "request_id": None, "error": None}
    return form.filled(identifiers.tail(now), now, body=body, has_signal=True, **told)


def store(database: Database, made: list[Record]) -> float:
    """Seconds from rows to the last commit."""
    prepare, sink = Preparer(SETTINGS), DatabaseSink(database)
    batches = [prepare([encode(each) for each in part]) for part in _parts(made)]
    begin = time.perf_counter()
    for batch in batches:
        sink.store(batch)
    return time.perf_counter() - begin


def drain(database: Database, made: list[Record]) -> float:
    """Seconds from a full spool to the last commit."""
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(SETTINGS, spool_dir=Path(folder), flush_interval=0.01)
        _fill(made, settings)
        recorder = Recorder(database, settings, Guard())
        begin = time.perf_counter()
        if not recorder.drain(600.0):
            raise RuntimeError("the spool did not empty")
        seconds = time.perf_counter() - begin
        recorder.close(10.0)
    return seconds


def _fill(made: list[Record], settings: Settings) -> None:
    """A spool as a process without a database leaves it behind."""
    away = Database("postgresql://nobody@127.0.0.1:1/nothing")
    recorder = Recorder(away, replace(settings, flush_interval=60.0), Guard())
    for each in made:
        recorder.record(each)
    recorder.close(30.0)


Chunks = dict[str, list[tuple[str, Any]]]
"""By table: the statement and the rows of each transaction."""


class Postgres:
    """PostgreSQL, and COPY of text that was made beforehand."""

    reference_name = "COPY"

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self._chunks: Chunks = {}

    def learn(self) -> None:
        """Take what is stored now as the rows of the reference."""
        self._chunks = {}
        with self.database.connection() as connection, closing(connection.connection.cursor()) as cursor:
            for name in TABLES:
                columns = ", ".join(column.name for column in tables.table(name).columns if column.name != "id")
                text = io.StringIO()
                cursor.copy_expert(f"COPY (SELECT {columns} FROM stateful_engine.{name} ORDER BY id) TO STDOUT", text)
                lines = text.getvalue().splitlines(keepends=True)
                into = f"COPY stateful_engine.{name} ({columns}) FROM STDIN"
                self._chunks[name] = [(into, "".join(part)) for part in _parts(lines)]

    def rows(self) -> int:
        """Rows of the reference."""
        return sum(text.count("\n") for parts in self._chunks.values() for _, text in parts)

    def reference(self) -> float:
        """Seconds for COPY, a transaction per thousand records."""
        raw = self.database.engine.raw_connection()
        begin = time.perf_counter()
        for transaction in _transactions(self._chunks):
            with raw.cursor() as cursor:
                for statement, text in transaction:
                    cursor.copy_expert(statement, io.StringIO(text))
            raw.commit()
        seconds = time.perf_counter() - begin
        raw.close()
        return seconds

    def empty(self) -> None:
        """Leave no row of ours."""
        with self.database.connection() as connection:
            names = ", ".join(f"stateful_engine.{table.name}" for table in tables.metadata.sorted_tables)
            connection.exec_driver_sql(f"TRUNCATE {names}")


class Sqlite:
    """SQLite in the mode that we run it in, and executemany of tuples that were made beforehand."""

    reference_name = "executemany"

    def __init__(self, folder: str) -> None:
        self._file = folder + "/drain.sqlite"
        self.database = Database(f"sqlite:///{self._file}")
        migrate.upgrade(self.database)
        self._chunks: Chunks = {}

    def learn(self) -> None:
        """Take what is stored now as the rows of the reference."""
        self._chunks = {}
        with closing(sqlite3.connect(self._file)) as connection:
            for name in TABLES:
                columns = [column.name for column in tables.table(name).columns if column.name != "id"]
                rows = connection.execute(f"SELECT {', '.join(columns)} FROM {name} ORDER BY id").fetchall()
                into = f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
                self._chunks[name] = [(into, part) for part in _parts(rows)]

    def rows(self) -> int:
        """Rows of the reference."""
        return sum(len(part) for parts in self._chunks.values() for _, part in parts)

    def reference(self) -> float:
        """Seconds for executemany, a transaction per thousand records."""
        with closing(sqlite3.connect(self._file, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            begin = time.perf_counter()
            for transaction in _transactions(self._chunks):
                connection.execute("BEGIN IMMEDIATE")
                for statement, rows in transaction:
                    connection.executemany(statement, rows)
                connection.execute("COMMIT")
            return time.perf_counter() - begin

    def empty(self) -> None:
        """Leave no row of ours."""
        with self.database.connection() as connection:
            for table in reversed(tables.metadata.sorted_tables):
                connection.exec_driver_sql(f"DELETE FROM {table.name}")


def _parts(rows: list[Any]) -> list[list[Any]]:
    return [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]


def _transactions(chunks: Chunks) -> list[list[tuple[str, Any]]]:
    """The n-th chunk of each table that has one, together."""
    longest = max(len(each) for each in chunks.values())
    return [[each[number] for each in chunks.values() if number < len(each)] for number in range(longest)]


def compare(into: Postgres | Sqlite, kind: str, made: list[Record], *, rounds: int) -> float:
    """Print the rates; returns that of `store` as a share of the reference, the median over the rounds."""
    into.empty()
    drain(into.database, made)
    into.learn()
    if into.rows() < len(made):
        raise RuntimeError("not everything was stored")
    ways: dict[str, Callable[[], float]] = {
        into.reference_name: into.reference,
        "store": lambda: store(into.database, made),
        "drain": lambda: drain(into.database, made),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, work in ways.items():
            into.empty()
            seconds[way].append(work())
    shares = {way: _share(seconds[into.reference_name], seconds[way]) for way in ways}
    for way in ways:
        rate = len(made) / common.median(seconds[way])
        print(f"{into.database.dialect:11} {kind:8} {way:12} {rate:8.0f} records/s {shares[way]:6.2f}")
    return shares["store"]


def _share(reference: list[float], mine: list[float]) -> float:
    return common.median([first / second for first, second in zip(reference, mine, strict=True)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    kinds = {"calls": calls(arguments.records), "signals": signals(arguments.records)}
    shares: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, common.migrated_postgresql() as url:
        for into in (Sqlite(folder), Postgres(url)):
            for kind, made in kinds.items():
                shares[into.database.dialect] = compare(into, kind, made, rounds=arguments.rounds)
            into.database.dispose()
    common.verdict("rows into SQLite, share of executemany", shares["sqlite"], limit=0.6, at_most=False)
    common.verdict("rows into PostgreSQL, share of COPY", shares["postgresql"], limit=0.6, at_most=False)


if __name__ == "__main__":
    main()
