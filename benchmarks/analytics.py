"""Reports over a year of signals: ours from pre-aggregates, against the usual five queries over the rows, and cached.

    python benchmarks/analytics.py [--database postgresql sqlite] [--signals 1000000] [--large 10000000] [--events N]

The five queries are those of the public implementation (all, executed and won signals, average confidence, symbols by
number), with an index on `created_at`, which it lacks. With `--large` the same is done with that many signals, and the
two sizes are compared; with `--events` people are counted in that many interactions of 30 days.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from common import BODY, migrated_postgresql, verdict
from flask import Flask
from sqlalchemy import Connection, text

from stateful_engine import StatefulEngine
from stateful_engine.domain import identifiers
from stateful_engine.domain.clock import now
from stateful_engine.storage import intake, rollup_reading, rollup_upkeep, rollups
from stateful_engine.storage.rollup_measures import INTERACTIONS, SIGNALS
from stateful_engine.storage.rollup_reading import Window
from tests.databases import SqliteTemplate

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

DAYS = 365
SYMBOLS = 50
CHUNK = 500_000
BATCH = 1000

FIVE_QUERIES = (
    "SELECT count(*) FROM {t} WHERE created_at >= :since",
    "SELECT count(*) FROM {t} WHERE created_at >= :since AND is_executed",
    "SELECT count(*) FROM {t} WHERE created_at >= :since AND outcome = 'WIN'",
    "SELECT avg(confidence) FROM {t} WHERE created_at >= :since",
    "SELECT symbol, count(*) AS n, avg(confidence) FROM {t} WHERE created_at >= :since "
    "GROUP BY symbol ORDER BY n DESC LIMIT 10",
)

COLUMNS = (
    "signal_id, symbol, symbol_raw, timeframe, action, confidence, entry_price, take_profit, stop_loss, "
    "initial_stop_loss, risk_reward_ratio, ai_reasoning, smc_analysis, technical_indicators, market_conditions, "
    "source, source_engine, ai_model, prompt_version, is_executed, outcome, pnl_percentage, r_multiple, closed_at, "
    "extra, created_at"
)
VALUES = """
SELECT 'sig_' || {hex} || '_0', {symbol}, {symbol}, {timeframe}, {action}, 50 + i * 7 % 50, 100.0, 103.0, 98.5, 98.5,
  2.0, {text}, {blocks}, {indicators},
  {regime}, 'API', {engine}, 'gpt-4o-mini', 'v3', i % 7 < 4,
  CASE WHEN i % 11 < 5 THEN 'WIN' WHEN i % 11 < 8 THEN 'LOSS' WHEN i % 11 = 8 THEN 'BREAKEVEN' ELSE 'PENDING' END,
  CASE WHEN i % 11 < 5 THEN 3.0 WHEN i % 11 < 8 THEN -1.5 WHEN i % 11 = 8 THEN 0.0 END,
  CASE WHEN i % 11 < 5 THEN 2.0 WHEN i % 11 < 8 THEN -1.0 WHEN i % 11 = 8 THEN 0.0 END,
  CASE WHEN i % 11 < 9 THEN {closed} END, '{{}}', {made}
FROM {numbers}
"""


# The stores


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


def fill(runtime: Runtime, count: int) -> None:
    """Make `count` signals, evenly over the year that ends now, and count them."""
    begun = time.perf_counter()
    end = now()
    table = runtime.database.qualified(SIGNALS.source)
    for first in range(0, count, CHUNK):
        with runtime.database.engine.begin() as connection:
            rows = rows_of(connection, first=first, last=min(first + CHUNK, count), count=count, end=end)
            connection.execute(text(f"INSERT INTO {table} ({COLUMNS}) {rows}".replace(":", "\\:")))
    made = time.perf_counter()
    settle(runtime)
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
        text=quoted(BODY["signal"]["reasoning"]),
        blocks=quoted(json.dumps(BODY["smc_analysis"])),
        indicators=quoted(json.dumps(BODY["technical_indicators"])),
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


def quoted(words: str) -> str:
    return "'" + words.replace("'", "''") + "'"


def settle(runtime: Runtime) -> None:
    """Let the database tidy up, as its background work would."""
    if runtime.database.dialect == "postgresql":
        with runtime.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    else:
        with runtime.database.engine.connect() as connection:
            connection.execute(text("ANALYZE"))


# The contestants


def five_queries(runtime: Runtime, days: int) -> None:
    since = now() - timedelta(days=days)
    shown = since if runtime.database.dialect == "postgresql" else since.astimezone(timezone.utc).replace(tzinfo=None)
    table = runtime.database.qualified(SIGNALS.source)
    with runtime.database.engine.connect() as connection:
        for query in FIVE_QUERIES:
            parameter = shown if runtime.database.dialect == "postgresql" else str(shown)
            connection.execute(text(query.format(t=table)), {"since": parameter}).all()


def uncached(runtime: Runtime, days: int) -> None:
    runtime.analytics.invalidate({SIGNALS.source: 1})
    runtime.analytics.signals(days=days)


def cached(runtime: Runtime, days: int) -> None:
    runtime.analytics.signals(days=days)


def medians(contestants: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """The median time of each in milliseconds, in turns."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for work in contestants.values():
        work()
    for _ in range(rounds):
        for name, work in contestants.items():
            begun = time.perf_counter()
            work()
            times[name].append((time.perf_counter() - begun) * 1000)
    return {name: statistics.median(found) for name, found in times.items()}


# The figures


def reports(runtime: Runtime, rounds: int, *, with_rows: bool = True) -> dict[str, float]:
    contestants: dict[str, Callable[[], None]] = {
        "30 days": lambda: uncached(runtime, 30),
        "365 days": lambda: uncached(runtime, 365),
        "cached": lambda: cached(runtime, 365),
    }
    if with_rows:
        contestants["five queries"] = lambda: five_queries(runtime, 30)
    found = medians(contestants, rounds)
    for name, milliseconds in found.items():
        print(f"  {name:>14}: {milliseconds:10.3f} ms")
    return found


def insert_rates(runtime: Runtime, rounds: int) -> float:
    """How much of the rate of inserting remains when pre-aggregates are kept: the median of pairs."""

    def spent(*, kept: bool) -> float:
        rows = fresh_rows()
        with nullcontext() if kept else patch.object(rollups, "apply"):
            begun = time.perf_counter()
            with runtime.database.connection() as connection:
                intake.insert(connection, {SIGNALS.source: rows})
            return time.perf_counter() - begun

    return statistics.median(spent(kept=False) / spent(kept=True) for _ in range(rounds * 2))


def fresh_rows() -> list[dict[str, Any]]:
    made = int(now().timestamp() * 1e6)
    return [
        {
            "signal_id": identifiers.signal_id(),
            "symbol": f"S{number * 31 % SYMBOLS:02}USDT",
            "symbol_raw": "S/USDT",
            "timeframe": ("5m", "15m", "1H", "4H", "1D")[number % 5],
            "action": ("BUY", "SELL")[number % 2],
            "confidence": 50.0 + number % 50,
            "entry_price": 100.0,
            "take_profit": 103.0,
            "stop_loss": 98.5,
            "initial_stop_loss": 98.5,
            "ai_reasoning": "Strong momentum after a sweep of the lows; the order block held twice. " * 3,
            "smc_analysis": {"order_blocks": ["99.1-99.6"], "fvg": "99.8-100.1", "choch": True},
            "technical_indicators": {"rsi": 61.2, "adx": 27.5, "atr": 1.31, "ema_20": 99.7},
            "market_conditions": "BULLISH",
            "source": "API",
            "source_engine": ("sharp", "smc", "scalper", "swing")[number % 4],
            "ai_model": "gpt-4o-mini",
            "prompt_version": "v3",
            "extra": {"take_profits": [103.0]},
            "is_executed": False,
            "outcome": "PENDING",
            "created_at": made + number,
        }
        for number in range(BATCH)
    ]


def people(runtime: Runtime, count: int, rounds: int) -> float:
    """How long it takes to tell how many people appear in `count` interactions of 30 days."""
    make_interactions(runtime, count)
    end = int(now().timestamp() * 1e6)
    found = []

    def work() -> None:
        with rollup_reading.view(runtime.database, INTERACTIONS) as view:
            found.append(view.count_distinct(Window(end - 30 * 86_400_000_000, end), "user_id"))

    spent = medians({"people": work}, rounds)["people"]
    print(f"  {found[-1]:,} people in {count:,} interactions: {spent:.2f} ms")
    return spent


def make_interactions(runtime: Runtime, count: int) -> None:
    end, step = now(), 30 * 86_400 / count
    begin = end - timedelta(days=30)
    table = runtime.database.qualified(INTERACTIONS.source)
    for first in range(0, count, CHUNK):
        with runtime.database.engine.begin() as connection:
            connection.execute(
                text(
                    f"INSERT INTO {table} (interaction_id, interaction_type, interaction_source, user_id, created_at) "
                    "SELECT 'int_' || lpad(to_hex(i), 12, '0') || '_0', 'VIEW', 'WEB', "
                    "'user' || CAST(20000 * random() * random() AS INTEGER), "
                    f"CAST(:begin AS TIMESTAMPTZ) + i * INTERVAL '{step:.6f} seconds' "
                    f"FROM generate_series({first}, {min(first + CHUNK, count) - 1}) AS i"
                ),
                {"begin": begin},
            )
    settle(runtime)
    rollup_upkeep.rebuild(runtime.database, (INTERACTIONS,))
    settle(runtime)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--signals", type=int, default=1_000_000)
    parser.add_argument("--large", type=int, default=0, help="a second, larger number of signals to compare with")
    parser.add_argument("--events", type=int, default=0, help="interactions to count people in (PostgreSQL)")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    for kind in options.database:
        measure(kind, options)


def measure(kind: str, options: argparse.Namespace) -> None:
    print(kind)
    large: dict[str, float] = {}
    if options.large:
        with store(kind) as runtime:
            fill(runtime, options.large)
            large = reports(runtime, options.rounds)
    with store(kind) as runtime:
        fill(runtime, options.signals)
        found = reports(runtime, options.rounds)
        kept = insert_rates(runtime, options.rounds)
        spent = people(runtime, options.events, options.rounds) if options.events and kind == "postgresql" else None
    verdict(f"{kind}: rate of inserts that remains with pre-aggregates", kept, limit=0.88, at_most=False)
    verdict(f"{kind}: 365 days / 30 days", found["365 days"] / found["30 days"], limit=5, at_most=True)
    verdict(f"{kind}: cached / 30 days", found["cached"] / found["30 days"], limit=0.2, at_most=True)
    if large:
        ratio = large["30 days"] / found["30 days"]
        verdict(f"{kind}: {options.large:,} / {options.signals:,} signals", ratio, limit=1.3, at_most=True)
    if spent is not None:
        verdict(f"{kind}: people in 30 days, ms", spent, limit=5, at_most=True)
    ratio = found["five queries"] / found["30 days"]
    verdict(f"{kind}: five queries / 30 days from pre-aggregates", ratio, limit=50, at_most=False)


if __name__ == "__main__":
    main()
