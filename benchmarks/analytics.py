"""Reports over a year of signals: ours from pre-aggregates, against the usual five queries over the rows, and cached.

    python benchmarks/analytics.py [--database postgresql sqlite] [--signals 1000000] [--large 10000000] [--events N]

The five queries are those of the public implementation (all, executed and won signals, average confidence, symbols by
number), with an index on `created_at`, which it lacks. With `--large` the same is done with that many signals (without
their long texts, which no report reads), and the two sizes are compared; with `--events` people are counted in that
many interactions of 30 days.

The contestants take turns, and the best round of each counts: what else runs on a machine only ever adds. The five
queries read through so much that the caches of the processor hold nothing else after them; the report is timed right
after them, and then once more.

A window may begin at any moment, and the rows between that moment and the nearest five minutes, or the nearest full
hour where it is not of 30 days, are counted one by one. So that it does not matter when this runs, the two sizes are
compared by the mean of windows of 30 days that begin at moments spread evenly through an hour, as the clock will show
them in the hour to come; the dearest of them is printed too.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from common import medians, times_of, verdict
from sqlalchemy import text
from year import CHUNK, SYMBOLS, fill, settle, store

from stateful_engine.domain import identifiers
from stateful_engine.domain.clock import clock_from, epoch_us, now
from stateful_engine.domain.periods import LENGTH, Grain, ceil_to
from stateful_engine.storage import intake, rollup_reading, rollup_upkeep, rollups
from stateful_engine.storage.rollup_measures import INTERACTIONS, SIGNALS
from stateful_engine.storage.rollup_reading import Window

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

BATCH = 1000
MOMENTS = 16
"""So many moments of an hour are looked at."""

FIVE_QUERIES = (
    "SELECT count(*) FROM {t} WHERE created_at >= :since",
    "SELECT count(*) FROM {t} WHERE created_at >= :since AND is_executed",
    "SELECT count(*) FROM {t} WHERE created_at >= :since AND outcome = 'WIN'",
    "SELECT avg(confidence) FROM {t} WHERE created_at >= :since",
    "SELECT symbol, count(*) AS n, avg(confidence) FROM {t} WHERE created_at >= :since "
    "GROUP BY symbol ORDER BY n DESC LIMIT 10",
)

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


def uncached_funnel(runtime: Runtime, days: int) -> None:
    runtime.analytics.invalidate({SIGNALS.source: 1})
    runtime.analytics.funnel(days=days)


def cached(runtime: Runtime, days: int) -> None:
    runtime.analytics.signals(days=days)


# The figures


def reports(runtime: Runtime, rounds: int, *, with_rows: bool = True) -> dict[str, float]:
    contestants: dict[str, Callable[[], None]] = {}
    if with_rows:
        contestants["five queries"] = lambda: five_queries(runtime, 30)
        contestants["30 days after them"] = lambda: uncached(runtime, 30)
    contestants |= {
        "30 days": lambda: uncached(runtime, 30),
        "365 days": lambda: uncached(runtime, 365),
        "funnel": lambda: uncached_funnel(runtime, 30),
    }
    times = times_of(contestants, rounds) | times_of({"cached": lambda: cached(runtime, 365)}, rounds)
    for name, found in times.items():
        print(f"  {name:>18}: {min(found):10.3f} ms at best, {statistics.median(found):10.3f} ms in the middle")
    return {name: min(found) for name, found in times.items()}


def through_the_hour(runtime: Runtime, rounds: int) -> list[float]:
    """How long the report on 30 days takes, its window beginning at one moment of an hour after the other.

    A signal is stored when the hour begins: of a million a year, there are two each minute.
    """
    begin, step = ceil_to(Grain.HOUR, epoch_us()), LENGTH[Grain.HOUR] // MOMENTS
    found = []
    with clock_from(lambda: begin * 1000), runtime.database.connection() as connection:
        intake.insert(connection, {SIGNALS.source: [{**fresh_rows()[0], "created_at": begin}]})
    for moment in range(begin + step // 2, begin + LENGTH[Grain.HOUR], step):
        with clock_from(partial(int, moment * 1000)):
            found.append(min(times_of({"30 days": lambda: uncached(runtime, 30)}, rounds)["30 days"]))
    print(f"  {'through the hour':>18}: {statistics.mean(found):10.3f} ms on average, {max(found):10.3f} ms at most")
    return found


def insert_rates(runtime: Runtime, rounds: int) -> float:
    """How much of the rate of inserting remains when pre-aggregates are kept, by CPU time, the server's included.

    The slower half of the rounds is left out: checkpoints fall into some of them.
    """

    def spent(*, kept: bool) -> float:
        rows = fresh_rows()
        with nullcontext() if kept else patch.object(rollups, "count"):
            begun = cpu_seconds(runtime)
            with runtime.database.connection() as connection:
                intake.insert(connection, {SIGNALS.source: rows})
            return cpu_seconds(runtime) - begun

    pairs = [(spent(kept=False), spent(kept=True)) for _ in range(rounds * 4)]
    bare, kept = (sum(sorted(times)[: rounds * 2]) for times in zip(*pairs, strict=True))
    return bare / kept


def cpu_seconds(runtime: Runtime) -> float:
    """CPU time of this process, and of the server process behind its one connection where the system tells."""
    if runtime.database.dialect == "sqlite":
        return time.process_time()
    with runtime.database.engine.connect() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
    file = Path(f"/proc/{pid}/stat")
    words = file.read_text().rpartition(")")[2].split() if file.exists() else ["0"] * 13
    return time.process_time() + (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


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
    large: list[float] = []
    if options.large:
        with store(kind) as runtime:
            fill(runtime, options.large, bodies=False)
            reports(runtime, options.rounds)
            large = through_the_hour(runtime, options.rounds)
    with store(kind) as runtime:
        fill(runtime, options.signals)
        found = reports(runtime, options.rounds)
        spread = through_the_hour(runtime, options.rounds)
        kept = insert_rates(runtime, options.rounds)
        spent = people(runtime, options.events, options.rounds) if options.events and kind == "postgresql" else None
    verdict(f"{kind}: rate of inserts that remains with pre-aggregates", kept, limit=0.88, at_most=False)
    verdict(f"{kind}: 365 days / 30 days", found["365 days"] / found["30 days"], limit=5, at_most=True)
    verdict(f"{kind}: cached / 30 days", found["cached"] / found["30 days"], limit=0.2, at_most=True)
    if large:
        sizes = f"{kind}: {options.large:,} / {options.signals:,} signals"
        print(f"{sizes}, each at its dearest moment: {max(large) / max(spread):.3f}")
        verdict(sizes, statistics.mean(large) / statistics.mean(spread), limit=1.3, at_most=True)
    if spent is not None:
        verdict(f"{kind}: people in 30 days, ms", spent, limit=5, at_most=True)
    for name in ("30 days after them", "30 days"):
        ratio = found["five queries"] / found[name]
        verdict(f"{kind}: five queries / {name}, from pre-aggregates", ratio, limit=50, at_most=False)


if __name__ == "__main__":
    main()
