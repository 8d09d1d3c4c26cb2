"""Batches come in as though all of them were new; where one is not, nobody can tell from what is stored and counted."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from stateful_engine.errors import StorageUnavailableError
from stateful_engine.storage import intake, rollup_upkeep
from stateful_engine.storage.database import Database
from tests.storage.conftest import interaction_row, query_row, signal_row, stored

SIGNALS, QUERIES, INTERACTIONS = TABLES = ("signal_history", "gpt_query_log", "user_interaction")

Call = dict[str, dict[str, Any]]


def call(**changes: Any) -> Call:
    """A row for each table, as one tracked call makes them; `changes` are those of its signal."""
    signal = signal_row(**changes)
    told = interaction_row(signal_id=signal["signal_id"], user_id=f"u{random.randrange(5)}")
    return {SIGNALS: signal, QUERIES: query_row(), INTERACTIONS: told}


def batch(calls: Sequence[Call]) -> dict[str, list[dict[str, Any]]]:
    """Their rows by table."""
    return {table: [one[table] for one in calls] for table in TABLES}


def assert_each_is_there_once(database: Database, calls: Sequence[Call], counts: Counter[str]) -> None:
    """In the tables, in what was reported as new, and in the figures of reports."""
    for table in TABLES:
        assert counts[table] == len(stored(database, table)) == len(calls)
    assert rollup_upkeep.check(database) == []


def test_a_batch_that_is_half_known_is_stored_and_counted_once(database: Database) -> None:
    calls = [call() for _ in range(6)]
    counts: Counter[str] = Counter()
    for part in (calls[:3], [*calls, *calls[2:4]], calls):
        counts.update(intake.store(database, batch(part)))
    assert_each_is_there_once(database, calls, counts)


def test_a_row_that_is_known_in_the_last_table_alone_costs_none_of_the_others(database: Database) -> None:
    calls = [call() for _ in range(3)]
    counts = Counter(intake.store(database, {INTERACTIONS: [calls[1][INTERACTIONS]]}))
    counts.update(intake.store(database, batch(calls)))
    assert_each_is_there_once(database, calls, counts)


def test_what_a_database_refuses_costs_no_row_and_counts_none_twice(database: Database) -> None:
    calls = [call(), call(ai_reasoning="a\0b"), call(extra={"k\0": "\ud800"}), call(symbol="\\N\t")]
    counts = Counter(intake.store(database, batch(calls)))
    assert_each_is_there_once(database, calls, counts)


def test_of_a_batch_that_cannot_be_stored_nothing_stays(database: Database) -> None:
    calls = [call() for _ in range(3)]
    wrong = interaction_row(interaction_type=None)
    with pytest.raises(Exception, match=r"interaction_type"):
        intake.store(database, {**batch(calls), INTERACTIONS: [wrong]})
    counts = Counter(intake.store(database, batch(calls)))
    assert_each_is_there_once(database, calls, counts)


def test_writers_of_overlapping_batches_store_and_count_each_once(database: Database) -> None:
    calls = [call(ai_reasoning="\0" if number % 7 == 0 else "calm") for number in range(60)]
    start, lock, counts = threading.Barrier(4), threading.Lock(), Counter[str]()

    def write(seed: int) -> None:
        choose = random.Random(seed)
        start.wait(10)
        for _ in range(6):
            new = stored_at_last(database, choose.sample(calls, 20))
            with lock:
                counts.update(new)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    counts.update(stored_at_last(database, calls))
    assert_each_is_there_once(database, calls, counts)


def stored_at_last(database: Database, calls: Sequence[Call]) -> dict[str, int]:
    """As the writer does it: where a database cannot serve now (two wait for each other), the batch comes again."""
    while True:
        try:
            return intake.store(database, batch(calls))
        except StorageUnavailableError:
            continue
