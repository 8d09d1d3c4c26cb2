"""How fast the spool empties: our way into PostgreSQL against COPY of the same rows, into SQLite against executemany.

    python benchmarks/drain.py [--records 10000] [--rounds 5]

A record is a tracked call: a query with its answer of about 1 KB, a signal and an interaction. Ours begins with the
segment file on the disk and ends with the last COMMIT, 1000 records per transaction: reading, checking, decoding,
redacting, pre-aggregates and recognising repetitions included. The reference is handed the very same rows in memory, in
the form in which the driver wants them (text of COPY, tuples), and only inserts them, with as many rows per
transaction. Rounds are interleaved; the tables are emptied before each.
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
from stateful_engine.recording.columns import interaction_row, signal_row
from stateful_engine.recording.recorder import Recorder
from stateful_engine.recording.records import Call
from stateful_engine.storage import migrate, tables
from stateful_engine.storage.database import Database

TABLES = ("signal_history", "gpt_query_log", "user_interaction")
BATCH = 1000


def calls(count: int) -> list[Call]:
    """Tracked calls as the door makes them."""
    body, made = orjson.dumps(common.BODY), []
    found = extract(common.BODY).signals[0]
    for _ in range(count):
        query_id, signal_id, now = identifiers.query_id(), identifiers.signal_id(), clock.epoch_us()
        context = {"query_id": query_id, "source": "CHAT_GPT", "endpoint": "/api/gpts/signal"}
        generated = interaction_row(
            identifiers.interaction_id(), signal_id, "SIGNAL_GENERATED", "CHAT_GPT", created_us=now
        )
        query = {
            "endpoint": "/api/gpts/signal",
            "method": "GET",
            "request_params": {"symbol": "BTCUSDT", "tf": "1H"},
            "response_status": 200,
            "processing_time_ms": 1.25,
            "is_successful": True,
            "user_agent": "Mozilla/5.0 ChatGPT-User/1.0",
        }
        row = signal_row(signal_id, found, context, created_us=now)
        made.append(Call(now, query_id, query, body, [row], [generated]))
    return made


def ours(database: Database, made: list[Call]) -> float:
    """Seconds from a full spool to the last commit."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(spool_dir=Path(folder), flush_interval=0.01)
        _fill(made, settings)
        recorder = Recorder(database, settings, Guard())
        begin = time.perf_counter()
        if not recorder.drain(600.0):
            raise RuntimeError("the spool did not empty")
        seconds = time.perf_counter() - begin
        recorder.close(10.0)
    return seconds


def _fill(made: list[Call], settings: Settings) -> None:
    """A spool as a process without a database leaves it behind."""
    away = Database("postgresql://nobody@127.0.0.1:1/nothing")
    recorder = Recorder(away, replace(settings, flush_interval=60.0), Guard())
    for call in made:
        recorder.record(call)
    recorder.close(0)


class Postgres:
    """PostgreSQL, and COPY of text that was made beforehand."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self._chunks: list[tuple[str, str]] = []

    def learn(self) -> None:
        """Take what is stored now as the rows of the reference."""
        with self.database.connection() as connection, closing(connection.connection.cursor()) as cursor:
            for name in TABLES:
                columns = ", ".join(c.name for c in tables.table(name).columns if c.name != "id")
                text = io.StringIO()
                cursor.copy_expert(f"COPY (SELECT {columns} FROM stateful_engine.{name} ORDER BY id) TO STDOUT", text)
                lines = text.getvalue().splitlines(keepends=True)
                into = f"COPY stateful_engine.{name} ({columns}) FROM STDIN"
                self._chunks += [(into, "".join(lines[at : at + BATCH])) for at in range(0, len(lines), BATCH)]

    def reference(self) -> float:
        """Seconds for COPY, a transaction per thousand rows of each table."""
        raw = self.database.engine.raw_connection()
        begin = time.perf_counter()
        for number in range(len(self._chunks) // len(TABLES)):
            with raw.cursor() as cursor:
                for statement, text in self._chunks[number :: len(self._chunks) // len(TABLES)]:
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

    def __init__(self, folder: str) -> None:
        self._file = folder + "/drain.sqlite"
        self.database = Database(f"sqlite:///{self._file}")
        migrate.upgrade(self.database)
        self._chunks: list[tuple[str, list[Any]]] = []

    def learn(self) -> None:
        """Take what is stored now as the rows of the reference."""
        with closing(sqlite3.connect(self._file)) as connection:
            for name in TABLES:
                columns = [c.name for c in tables.table(name).columns if c.name != "id"]
                rows = connection.execute(f"SELECT {', '.join(columns)} FROM {name} ORDER BY id").fetchall()
                marks = ", ".join("?" * len(columns))
                into = f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks})"
                self._chunks += [(into, rows[at : at + BATCH]) for at in range(0, len(rows), BATCH)]

    def reference(self) -> float:
        """Seconds for executemany, a transaction per thousand rows of each table."""
        with closing(sqlite3.connect(self._file, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            begin = time.perf_counter()
            for number in range(len(self._chunks) // len(TABLES)):
                connection.execute("BEGIN IMMEDIATE")
                for statement, rows in self._chunks[number :: len(self._chunks) // len(TABLES)]:
                    connection.executemany(statement, rows)
                connection.execute("COMMIT")
            return time.perf_counter() - begin

    def empty(self) -> None:
        """Leave no row of ours."""
        with self.database.connection() as connection:
            for table in reversed(tables.metadata.sorted_tables):
                connection.exec_driver_sql(f"DELETE FROM {table.name}")


def compare(name: str, store: Postgres | Sqlite, made: list[Call], *, rounds: int) -> float:
    """Print both rates; returns ours as a share of the reference, the median over the rounds."""
    ours(store.database, made)
    store.learn()
    seconds: list[tuple[float, float]] = []
    for _ in range(rounds):
        seconds.append(
            (_after_emptying(store, lambda: ours(store.database, made)), _after_emptying(store, store.reference))
        )
    for label, values in (("ours", [mine for mine, _ in seconds]), (name, [other for _, other in seconds])):
        rate = len(made) / common.median(values)
        print(f"{store.database.dialect:11} {label:12} {rate:8.0f} records/s  ({3 * rate:8.0f} rows/s)")
    store.database.dispose()
    return common.median([other / mine for mine, other in seconds])


def _after_emptying(store: Postgres | Sqlite, work: Callable[[], float]) -> float:
    store.empty()
    return work()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    made = calls(arguments.records)
    with tempfile.TemporaryDirectory() as folder:
        sqlite = compare("executemany", Sqlite(folder), made, rounds=arguments.rounds)
    with common.migrated_postgresql() as url:
        postgres = compare("COPY", Postgres(url), made, rounds=arguments.rounds)
    common.verdict("drain into SQLite, share of executemany", sqlite, limit=0.6, at_most=False)
    common.verdict("drain into PostgreSQL, share of COPY", postgres, limit=0.6, at_most=False)


if __name__ == "__main__":
    main()
