"""The first page of the dashboard over a year of signals: how long the server needs for it uncached, and its weight.

    python benchmarks/dashboard.py [--database sqlite] [--signals 1000000] [--rounds 9]

Weight is the page with every file it loads, as sent without compression; time is that of the whole request in process,
and beside it the time that this process spent computing, as other programs may be busy on the machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from analytics import fill
from common import migrated_postgresql, verdict
from flask import Flask

from stateful_engine import StatefulEngine
from stateful_engine.dashboard.rendering import STATIC
from stateful_engine.storage.rollup_measures import INTERACTIONS, SIGNALS
from tests.databases import SqliteTemplate

if TYPE_CHECKING:
    from flask.testing import FlaskClient

PERIODS = ("30", "365", "all")
MOST_MILLISECONDS = 150
MOST_KILOBYTES = 250


@contextmanager
def host(kind: str) -> Iterator[Flask]:
    """An app with a dashboard on an own, empty database."""
    with tempfile.TemporaryDirectory() as folder:
        if kind == "sqlite":
            yield from _app(SqliteTemplate(Path(folder)).copy_to(Path(folder) / "benchmark.sqlite"), folder)
        else:
            with migrated_postgresql() as url:
                yield from _app(url, folder)


def _app(url: str, folder: str) -> Iterator[Flask]:
    app = Flask("benchmark", instance_path=folder)
    app.config.update(STATEFUL_DATABASE_URL=url, STATEFUL_DASHBOARD=True, STATEFUL_AUTH="none")
    StatefulEngine(app)
    yield app
    app.extensions["stateful_engine"].close()


def timed(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The time that passed in the best round, which others disturbed least, and the median computing time, in ms."""
    passed, spent = [], []
    for _ in range(rounds):
        begun, computing = time.perf_counter(), time.process_time()
        work()
        passed.append((time.perf_counter() - begun) * 1000)
        spent.append((time.process_time() - computing) * 1000)
    return min(passed), statistics.median(spent)


def page(app: Flask, client: FlaskClient, period: str) -> str:
    """The first page, made anew."""
    app.extensions["stateful_engine"].analytics.invalidate({SIGNALS.source: 1, INTERACTIONS.source: 1})
    answer = client.get(f"/state/?days={period}")
    assert answer.status_code == 200
    return answer.text


def weight(text: str) -> int:
    """Bytes of a page and of every file that it, or a script on it, may load."""
    files = [file for file in STATIC.rglob("*") if file.suffix in {".css", ".js"}]
    return len(text.encode()) + sum(file.stat().st_size for file in files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", default="sqlite", choices=["sqlite", "postgresql"])
    parser.add_argument("--signals", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with host(options.database) as app:
        fill(app.extensions["stateful_engine"], options.signals)
        client = app.test_client()
        page(app, client, "30")
        times, weights = {}, {}
        for period in PERIODS:
            times[period], computing = timed(lambda period=period: page(app, client, period), options.rounds)  # type: ignore[misc]
            weights[period] = weight(page(app, client, period)) / 1000
            print(
                f"  {period:>4} days: {times[period]:7.1f} ms ({computing:.1f} ms computing), {weights[period]:.0f} kB"
            )
    verdict("first page with all it loads, kB", max(weights.values()), limit=MOST_KILOBYTES, at_most=True)
    verdict(f"first page on {options.signals:,} signals, ms", times["30"], limit=MOST_MILLISECONDS, at_most=True)


if __name__ == "__main__":
    main()
