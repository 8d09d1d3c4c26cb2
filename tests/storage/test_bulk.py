"""Bulk inserts: each row once, whatever comes again, and the caller learns which rows were new."""

from __future__ import annotations

import logging
import re
import threading
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from stateful_engine.domain.clock import from_epoch_us
from stateful_engine.errors import StorageUnavailableError
from stateful_engine.storage import bulk, copying, encoding, tables
from stateful_engine.storage.database import Database
from tests.storage.conftest import (
    START_US,
    interaction_row,
    number_of_rows,
    query_row,
    signal_row,
    store,
    stored,
)

SIGNALS = "signal_history"


def test_what_was_inserted_comes_back_as_it_was(database: Database) -> None:
    row = signal_row(
        ai_reasoning='tab\there, line\nthere, return\rtoo, back\\slash, \\N, "quotes", émoji 🚀, sep\x1e',
        smc_analysis={"text": 'a\\b\n"c"\t', "list": [1, 2.5, None, True], "deep": {"x": {}}},
        extra={"take_profits": [1.1, 2], "ü": "ß"},
        confidence=0.1 + 0.2,
        entry_price=1e-300,
        take_profit=12345678901234.568,
    )
    store(database, SIGNALS, row)
    (kept,) = stored(database, SIGNALS)
    for name, value in row.items():
        if name != "created_at":
            assert kept[name] == value, name
    assert kept["created_at"] == from_epoch_us(row["created_at"])
    assert kept["is_executed"] is False
    assert kept["closed_at"] is None


def test_all_rows_of_a_first_arrival_are_new(database: Database) -> None:
    rows = [signal_row() for _ in range(250)]
    new = store(database, SIGNALS, *rows)
    assert new == rows
    assert [row["signal_id"] for row in stored(database, SIGNALS)] == [row["signal_id"] for row in rows]


def test_a_repetition_is_passed_over_and_not_reported_as_new(database: Database) -> None:
    rows = [signal_row() for _ in range(5)]
    store(database, SIGNALS, *rows[:3])
    new = store(database, SIGNALS, *rows)
    assert [item["signal_id"] for item in new] == [row["signal_id"] for row in rows[3:]]
    assert store(database, SIGNALS, *rows) == []
    assert len(stored(database, SIGNALS)) == 5


def test_a_repetition_within_one_batch_is_passed_over(database: Database) -> None:
    row, other = signal_row(), signal_row()
    assert len(store(database, SIGNALS, row, other, dict(row))) == 2


def test_no_rows_are_no_work(database: Database) -> None:
    assert store(database, SIGNALS) == []


def test_a_repetition_after_an_execution_is_still_a_repetition(database: Database) -> None:
    from stateful_engine.storage import signals

    row = signal_row()
    store(database, SIGNALS, row)
    with database.transaction() as session:
        signal = signals.lock(session, row["signal_id"])
        assert signal is not None
        signals.set_execution(session, signal, price=45100.0, source="MANUAL", at=from_epoch_us(START_US))
        signals.set_outcome(session, signal, {"outcome": "WIN", "exit_price": 46500.0})
    assert store(database, SIGNALS, row) == []
    (kept,) = stored(database, SIGNALS)
    assert kept["outcome"] == "WIN"


def test_an_id_with_other_content_gets_a_new_id_and_is_logged(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    row = signal_row()
    store(database, SIGNALS, row)
    with caplog.at_level(logging.WARNING, logger="stateful_engine"):
        (renamed,) = store(database, SIGNALS, {**row, "action": "SELL"})
    assert renamed["signal_id"] != row["signal_id"]
    assert renamed["signal_id"] in caplog.text
    first, second = stored(database, SIGNALS)
    assert (first["action"], second["action"]) == ("BUY", "SELL")


def test_the_new_id_has_the_form_of_an_id(database: Database) -> None:
    row = signal_row()
    store(database, SIGNALS, row)
    (renamed,) = store(database, SIGNALS, {**row, "confidence": 1.0})
    assert re.fullmatch(r"sig_[0-9a-f]{12}_[0-9]{10}", renamed["signal_id"])


@pytest.mark.parametrize("together", [True, False])
def test_a_clash_that_comes_again_is_recognised(database: Database, together: bool) -> None:
    row = signal_row()
    clash = {**row, "confidence": 10.0}
    if together:
        assert len(store(database, SIGNALS, row, clash)) == 2
    else:
        assert len(store(database, SIGNALS, row)) == 1
        assert len(store(database, SIGNALS, clash)) == 1
    for _ in range(2):
        assert store(database, SIGNALS, row, clash) == []
        assert store(database, SIGNALS, clash) == []
    assert len(stored(database, SIGNALS)) == 2


@pytest.mark.parametrize(
    ("table", "row", "change"),
    [
        ("gpt_query_log", query_row(), {"endpoint": "/other"}),
        ("gpt_query_log", query_row(), {"response_data": {"action": "SELL"}}),
        ("user_interaction", interaction_row(), {"user_id": "u2"}),
        ("user_interaction", interaction_row(), {"interaction_data": {"button": "sell"}}),
        ("signal_history", signal_row(), {"smc_analysis": {"choch": False}}),
        ("signal_history", signal_row(), {"created_at": START_US}),
    ],
)
def test_content_is_every_column_that_does_not_change_later(
    database: Database, table: str, row: dict[str, Any], change: dict[str, Any]
) -> None:
    store(database, table, row)
    assert len(store(database, table, {**row, **change})) == 1
    assert store(database, table, row) == []


def test_numbers_and_texts_that_are_stored_in_another_form_are_no_other_content(database: Database) -> None:
    row = signal_row(
        confidence=85, entry_price=True, client_ref="x" * 300, ai_reasoning="nul\0", extra={"n": float("nan")}
    )
    assert len(store(database, SIGNALS, row)) == 1
    assert store(database, SIGNALS, row) == []


def test_missing_values_become_the_default_of_their_column(database: Database) -> None:
    full = signal_row(outcome="WIN", is_executed=True)
    bare = {"signal_id": "sig_00000000ffff_1", "action": "HOLD", "created_at": START_US}
    store(database, SIGNALS, full, bare, {**bare, "signal_id": "sig_00000000fffe_1", "outcome": None})
    kept = {row["signal_id"]: row for row in stored(database, SIGNALS)}
    assert kept[full["signal_id"]]["outcome"] == "WIN"
    for name in ("sig_00000000ffff_1", "sig_00000000fffe_1"):
        assert kept[name]["outcome"] == "PENDING"
        assert kept[name]["is_executed"] is False


def test_rows_of_different_shape_go_together_and_unknown_keys_are_ignored(database: Database) -> None:
    first = {"signal_id": "sig_00000000aaaa_1", "action": "BUY", "created_at": START_US, "unknown": 1}
    second = {"signal_id": "sig_00000000aaab_1", "action": "BUY", "created_at": START_US, "symbol": "XAUUSD"}
    assert len(store(database, SIGNALS, first, second)) == 2
    assert [row["symbol"] for row in stored(database, SIGNALS)] == [None, "XAUUSD"]


def test_what_all_rows_of_a_batch_share_is_stored_in_each(database: Database) -> None:
    shared: dict[str, Any] = {
        "smc_analysis": {"a": [1, "\u00e9\t"]},
        "ai_reasoning": "nul\0",
        "confidence": 1,
        "extra": {},
    }
    keys = [f"sig_00000000000{number}_1" for number in range(3)]
    store(database, SIGNALS, *({**signal_row(), **shared, "signal_id": key} for key in keys))
    rows = stored(database, SIGNALS)
    assert sorted(row["signal_id"] for row in rows) == keys
    for row in rows:
        assert row["smc_analysis"] == shared["smc_analysis"]
        assert (row["ai_reasoning"], row["confidence"]) == ("nul\ufffd", 1.0)
        assert row["extra"]["flags"] == [encoding.CLEANED_FLAG]


def test_texts_that_postgresql_refuses_are_cleaned_and_flagged(database: Database) -> None:
    dirty = signal_row(ai_reasoning="a\0b\ud800c", smc_analysis={"k\0": ["\udfff", "ok"]}, extra={"flags": ["kept"]})
    bare = signal_row(extra=None, market_conditions="\0")
    clean = signal_row(extra={"flags": []})
    store(database, SIGNALS, dirty, bare, clean)
    one, two, three = stored(database, SIGNALS)
    assert one["ai_reasoning"] == "a\ufffdb\ufffdc"
    assert one["smc_analysis"] == {"k\ufffd": ["\ufffd", "ok"]}
    assert one["extra"]["flags"] == ["kept", encoding.CLEANED_FLAG]
    assert two["extra"] == {"flags": [encoding.CLEANED_FLAG]}
    assert two["market_conditions"] == "\ufffd"
    assert three["extra"] == {"flags": []}


def test_a_table_without_flags_is_cleaned_too(database: Database) -> None:
    store(database, "gpt_query_log", query_row(user_query="\0?", response_data={"a": "\ud83d"}))
    (kept,) = stored(database, "gpt_query_log")
    assert kept["user_query"] == "\ufffd?"
    assert kept["response_data"] == {"a": "\ufffd"}


def test_numbers_that_cannot_be_kept_are_left_out(database: Database) -> None:
    store(
        database,
        "gpt_query_log",
        query_row(processing_time_ms=float("nan"), cost_usd=float("inf"), tokens_used=2**70, response_status=10**30),
        query_row(processing_time_ms="12.5", cost_usd=10**400, tokens_used=12.6, response_status="abc"),
    )
    odd, texts = stored(database, "gpt_query_log")
    for name in ("processing_time_ms", "cost_usd", "tokens_used", "response_status"):
        assert odd[name] is None
    assert (texts["processing_time_ms"], texts["cost_usd"]) == (12.5, None)
    assert (texts["tokens_used"], texts["response_status"]) == (13, None)


def test_json_holds_no_nan_and_any_depth_and_key(database: Database) -> None:
    deep: Any = "bottom"
    for _ in range(300):
        deep = [deep]
    value = {"nan": float("nan"), "inf": [float("-inf")], "big": 10**30, 1: "one", "deep": deep}
    store(database, "gpt_query_log", query_row(response_data=value))
    (kept,) = stored(database, "gpt_query_log")
    assert kept["response_data"]["nan"] is None
    assert kept["response_data"]["inf"] == [None]
    assert kept["response_data"]["big"] == 1e30
    assert kept["response_data"]["1"] == "one"
    assert kept["response_data"]["deep"] is not None


def test_ready_json_is_taken_as_bytes(database: Database) -> None:
    rows = [query_row(response_data=b'{"a": [1, "\\\\", "\\n\xc3\xa9"]}'), query_row(response_data=b'{"a": "\\u0000"}')]
    assert len(store(database, "gpt_query_log", *rows)) == 2
    assert [row["response_data"] for row in stored(database, "gpt_query_log")] == [
        {"a": [1, "\\", "\né"]},
        {"a": "\ufffd"},
    ]
    assert store(database, "gpt_query_log", *rows) == []
    changed = rows[0] | {"response_data": b'{"a": 2}'}
    assert len(store(database, "gpt_query_log", changed)) == 1


@pytest.mark.parametrize("value", [b"{", b"\xff", b"", b"NaN"])
def test_bytes_that_are_no_json_are_an_error_of_the_record(postgresql: Database, value: bytes) -> None:
    with pytest.raises((ValueError, DBAPIError)) as caught:
        store(postgresql, "gpt_query_log", query_row(), query_row(response_data=value))
    assert not isinstance(caught.value, StorageUnavailableError)
    assert stored(postgresql, "gpt_query_log") == []


def test_json_null_and_nothing_are_both_sql_null(database: Database) -> None:
    from sqlalchemy import select

    store(database, "gpt_query_log", query_row(response_data=None))
    table = tables.table("gpt_query_log")
    with database.connection() as connection:
        assert connection.scalar(select(table.c.response_data.is_(None))) in (True, 1)


def test_long_values_of_indexed_columns_are_cut_where_an_index_ends(database: Database) -> None:
    long = "".join(chr(0x4E00 + n % 20000) for n in range(100_000))
    store(database, SIGNALS, signal_row(symbol=long, symbol_raw=long[::-1], source_engine=long, ai_reasoning=long))
    (kept,) = stored(database, SIGNALS)
    assert kept["symbol"] == long[:255]
    assert kept["ai_reasoning"] == long


def test_times_are_taken_as_microseconds_and_as_aware_datetimes(database: Database) -> None:
    from datetime import datetime, timedelta, timezone

    moment = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=7)))
    store(database, SIGNALS, signal_row(created_at=moment), signal_row(created_at=-1))
    one, two = stored(database, SIGNALS)
    assert one["created_at"] == moment
    assert two["created_at"] == from_epoch_us(-1)


@pytest.mark.parametrize("value", ["yesterday", {"at": 1}, [1]])
def test_a_value_that_no_column_can_hold_is_an_error_of_the_record(database: Database, value: Any) -> None:
    rows = [signal_row(), signal_row(created_at=value)]
    with pytest.raises((ValueError, TypeError)):
        store(database, SIGNALS, *rows)
    assert stored(database, SIGNALS) == []


def test_a_naive_datetime_is_refused(database: Database) -> None:
    from datetime import datetime

    with pytest.raises(ValueError, match="naive"):
        store(database, SIGNALS, signal_row(created_at=datetime(2026, 1, 1)))  # noqa: DTZ001


def test_a_row_without_what_must_be_there_is_refused_and_nothing_stays(database: Database) -> None:
    with pytest.raises(DBAPIError) as caught:
        store(database, SIGNALS, signal_row(), signal_row(action=None))
    assert not isinstance(caught.value, StorageUnavailableError)
    assert stored(database, SIGNALS) == []


def test_the_transaction_goes_on_after_repetitions_and_cleaning(database: Database) -> None:
    row = signal_row()
    store(database, SIGNALS, row)
    with database.connection() as connection:
        table = tables.table(SIGNALS)
        bulk.insert_new(connection, table, [row, signal_row(ai_reasoning="\0")])
        bulk.insert_new(connection, table, [row])
        bulk.insert_new(connection, table, [signal_row()])
    assert len(stored(database, SIGNALS)) == 3


def test_a_rolled_back_batch_leaves_nothing_and_is_new_again(database: Database) -> None:
    rows = [signal_row() for _ in range(3)]
    with pytest.raises(RuntimeError, match="stop"), database.connection() as connection:
        bulk.insert_new(connection, tables.table(SIGNALS), rows)
        raise RuntimeError("stop")
    assert len(store(database, SIGNALS, *rows)) == 3


def test_many_writers_of_the_same_rows_store_and_report_each_once(database: Database) -> None:
    rows = [signal_row() for _ in range(120)]
    start = threading.Barrier(4)
    reported: list[str] = []

    def write(offset: int) -> None:
        start.wait()
        for begin in range(0, len(rows), 30):
            batch = rows[(begin + offset) % 120 :][:60]
            reported.extend(item["signal_id"] for item in store(database, SIGNALS, *batch))

    threads = [threading.Thread(target=write, args=(30 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(reported) == sorted({row["signal_id"] for row in rows})
    assert len(stored(database, SIGNALS)) == 120


def test_repeated_uncommitted_rows_of_another_writer_are_waited_for(postgresql: Database) -> None:
    rows = [signal_row() for _ in range(3)]
    held, found = threading.Event(), []
    with postgresql.connection() as connection:
        bulk.insert_new(connection, tables.table(SIGNALS), rows[:2])

        def other() -> None:
            held.set()
            found.extend(item["signal_id"] for item in store(postgresql, SIGNALS, *rows))

        thread = threading.Thread(target=other)
        thread.start()
        held.wait(5)
    thread.join(10)
    assert found == [rows[2]["signal_id"]]


@pytest.mark.parametrize("driver", ["pg8000", "psycopg"])
def test_another_driver_than_psycopg2_stores_the_same_by_insert(postgresql_url: str, driver: str) -> None:
    database = Database(postgresql_url.replace("+psycopg2", f"+{driver}"))
    try:
        rows = [signal_row(ai_reasoning="back\\slash\n"), signal_row(ai_reasoning="\0", extra=None), signal_row()]
        with database.connection() as connection:
            assert not copying.is_possible(connection)
            assert len(bulk.insert_new(connection, tables.table(SIGNALS), rows)) == 3
        assert store(database, SIGNALS, *rows) == []
        assert len(store(database, SIGNALS, {**rows[0], "action": "SELL"}, signal_row())) == 2
        kept = stored(database, SIGNALS)
        assert kept[0]["ai_reasoning"] == "back\\slash\n"
        assert kept[1]["extra"] == {"flags": [encoding.CLEANED_FLAG]}
        assert kept[2]["created_at"] == from_epoch_us(rows[2]["created_at"])
    finally:
        database.dispose()


def test_a_connection_with_a_wait_callback_uses_insert(postgresql: Database) -> None:
    """gevent's psycogreen makes psycopg2 asynchronous, and then it refuses to COPY."""
    from psycopg2.extensions import set_wait_callback
    from psycopg2.extras import wait_select

    set_wait_callback(wait_select)
    try:
        assert len(store(postgresql, SIGNALS, signal_row(), signal_row())) == 2
    finally:
        set_wait_callback(None)


def test_a_lost_connection_is_an_outage_and_not_a_fault_of_the_rows(postgresql: Database) -> None:
    with pytest.raises(StorageUnavailableError), postgresql.connection() as connection:
        connection.exec_driver_sql("SELECT 1")
        own = connection.connection.dbapi_connection
        assert own is not None
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        with postgresql.engine.connect() as other:
            other.exec_driver_sql("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        bulk.insert_new(connection, tables.table(SIGNALS), [signal_row()])
    assert len(store(postgresql, SIGNALS, signal_row())) == 1


def test_a_unique_column_that_is_not_the_key_is_an_error_of_the_record(postgresql: Database) -> None:
    with postgresql.connection() as connection:
        connection.exec_driver_sql("CREATE UNIQUE INDEX only_one ON stateful_engine.signal_history (client_ref)")
    store(postgresql, SIGNALS, signal_row(client_ref="c"))
    with pytest.raises(DBAPIError, match="only_one"):
        store(postgresql, SIGNALS, signal_row(client_ref="c"))


def test_rows_join_the_transaction_they_are_given(database: Database) -> None:
    with pytest.raises(RuntimeError), database.connection() as connection:
        bulk.insert_new(connection, tables.table(SIGNALS), [signal_row()])
        assert number_of_rows(connection, SIGNALS) == 1
        raise RuntimeError
    assert stored(database, SIGNALS) == []
