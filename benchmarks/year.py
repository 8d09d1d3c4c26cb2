"""A year of signals in an own, empty database, made in seconds: what the benchmarks of reports and pages look at."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from common import BODY, migrated_postgresql
from flask import Flask
from sqlalchemy import Connection, text

from stateful_engine import StatefulEngine
from stateful_engine.domain.clock import now
from stateful_engine.storage import rollup_upkeep
from stateful_engine.storage.rollup_measures import SIGNALS
from tests.databases import SqliteTemplate

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

DAYS = 365
SYMBOLS = 50
CHUNK = 500_000

COLUMNS = (
    "signal_id, symbol, symbol_raw, timeframe, action, confidence, entry_price, take_profit, stop_loss, "
    "initial_stop_loss, risk_reward_ratio, ai_reasoning, smc_analysis, technical_indicators, market_conditions, "
    "source, source_engine, ai_model, prompt_version, is_executed, outcome, pnl_percentage, r_multiple, closed_at, "
    "extra, created_at"
)
LONG_TEXTS = ", ".join(
    "'" + words.replace("'", "''") + "'"
    for words in (
        BODY["signal"]["reasoning"],
        json.dumps(BODY["smc_analysis"]),
        json.dumps(BODY["technical_indicators"]),
    )
)

VALUES = """
SELECT 'sig_' || {hex} || '_0', {symbol}, {symbol}, {timeframe}, {action}, 50 + i * 7 % 50, 100.0, 103.0, 98.5, 98.5,
  2.0, {long_texts},
  {regime}, 'API', {engine}, 'gpt-4o-mini', 'v3', i % 7 < 4,
  CASE WHEN i % 11 < 5 THEN 'WIN' WHEN i % 11 < 8 THEN 'LOSS' WHEN i % 11 = 8 THEN 'BREAKEVEN' ELSE 'PENDING' END,
  CASE WHEN i % 11 < 5 THEN 3.0 WHEN i % 11 < 8 THEN -1.5 WHEN i % 11 = 8 THEN 0.0 END,
  CASE WHEN i % 11 < 5 THEN 2.0 WHEN i % 11 < 8 THEN -1.0 WHEN i % 11 = 8 THEN 0.0 END,
  CASE WHEN i % 11 < 9 THEN {closed} END, '{{}}', {made}
FROM {numbers}
"""


@contextmanager
def store(kind: str) -> Iterator[Runtime]:
    """An app on an own, empty database."""
    with tempfile.TemporaryDirectory() as folder:
        if kind == "sqlite":
            url = SqliteTemplate(Path(folder)).copy_to(Path(folder) / "benchmark.sqlite")
            yield from _app(url, folder)
        else:
            with migrated_postgresql() as url:
                yield from _app(url, folder)


def _app(url: str, folder: str) -> Iterator[Runtime]:
    app = Flask("benchmark", instance_path=folder)
    app.config.update(STATEFUL_DATABASE_URL=url)
    StatefulEngine(app)
    runtime: Runtime = app.extensions["stateful_engine"]
    yield runtime
    runtime.close()


def fill(runtime: Runtime, count: int, *, bodies: bool = True, counted: bool = True) -> None:
    """Make `count` signals, evenly over the year that ends now; `bodies` are their long texts.

    Unless `counted`, there are no pre-aggregates of them.
    """
    begun = time.perf_counter()
    end = now()
    table = runtime.database.qualified(SIGNALS.source)
    for first in range(0, count, CHUNK):
        with runtime.database.engine.begin() as connection:
            rows = rows_of(connection, first=first, last=min(first + CHUNK, count), count=count, end=end)
            rows = rows if bodies else rows.replace(LONG_TEXTS, "NULL, NULL, NULL")
            connection.execute(text(f"INSERT INTO {table} ({COLUMNS}) {rows}".replace(":", "\\:")))
    made = time.perf_counter()
    settle(runtime)
    if counted:
        rollup_upkeep.rebuild(runtime.database)
        settle(runtime)
    print(f"  {count:,} signals made in {made - begun:.0f} s, counted in {time.perf_counter() - made:.0f} s")


def rows_of(connection: Connection, *, first: int, last: int, count: int, end: datetime) -> str:
    """The SELECT that makes signals out of numbers."""
    begin, step = end - timedelta(days=DAYS), DAYS * 86_400 / count
    pick = "(ARRAY[{}])[1 + {} % {}]" if connection.dialect.name == "postgresql" else None

    def one_of(words: list[str], number: str) -> str:
        if pick is not None:
            return pick.format(", ".join(f"'{word}'" for word in words), number, len(words))
        cases = " ".join(f"WHEN {index} THEN '{word}'" for index, word in enumerate(words))
        return f"CASE {number} % {len(words)} {cases} END"

    if connection.dialect.name == "postgresql":
        numbers = f"generate_series({first}, {last - 1}) AS i"
        hexed = "lpad(to_hex(i), 12, '0')"
        made = f"TIMESTAMPTZ '{begin.isoformat()}' + i * INTERVAL '{step:.6f} seconds'"
        closed = f"{made} + i % 97 * INTERVAL '30 minutes'"
    else:
        numbers = (
            f"(WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last - 1}) "
            "SELECT i FROM n)"
        )
        hexed = "printf('%012x', i)"
        seconds = f"{begin.timestamp():.6f} + i * {step:.6f}"
        made = f"strftime('%Y-%m-%d %H:%M:%f', {seconds}, 'unixepoch') || '000'"
        closed = f"strftime('%Y-%m-%d %H:%M:%f', {seconds} + i % 97 * 1800, 'unixepoch') || '000'"
    return VALUES.format(
        long_texts=LONG_TEXTS,
        hex=hexed,
        numbers=numbers,
        made=made,
        closed=closed,
        symbol=one_of([f"S{number:02}USDT" for number in range(SYMBOLS)], "(i * 31)"),
        timeframe=one_of(["5m", "15m", "1H", "4H", "1D"], "(i * 17)"),
        action=one_of(["BUY", "SELL"], "i"),
        regime=one_of(["BULLISH", "BEARISH", "RANGING"], "(i / 1000)"),
        engine=one_of(["sharp", "smc", "scalper", "swing"], "(i * 13)"),
    )


def settle(runtime: Runtime) -> None:
    """Let the database tidy up, as its background work would."""
    if runtime.database.dialect == "postgresql":
        with runtime.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    else:
        with runtime.database.engine.connect() as connection:
            connection.execute(text("ANALYZE"))
