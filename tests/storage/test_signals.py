"""Signals: found by id, acted on once, closed under a lock, and told as a story."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from stateful_engine.domain.clock import from_epoch_us
from stateful_engine.storage import intake, interactions, retention, signals
from stateful_engine.storage.database import Database
from tests.factories import MOMENT, FakeClock
from tests.storage.conftest import START_US, interaction_row, query_row, signal_row, store, stored

SIGNALS = "signal_history"
AT = from_epoch_us(START_US)


def test_a_signal_is_found_by_its_id_and_by_nothing_else(database: Database) -> None:
    row = signal_row()
    store(database, SIGNALS, row, signal_row())
    with database.reading() as session:
        found = signals.find(session, row["signal_id"])
        assert found is not None
        assert found["symbol"] == "BTCUSDT"
        for other in ("", "sig_", row["signal_id"].upper(), "' OR 1=1 --", "\0", "\ud800", "x" * 10_000):
            assert signals.find(session, other) is None
            assert signals.lock(session, other) is None


def test_an_execution_is_written_once(database: Database, clock: FakeClock) -> None:
    row = signal_row()
    store(database, SIGNALS, row)
    for price, changed in ((45100.0, True), (1.0, False)):
        with database.transaction() as session:
            signal = signals.lock(session, row["signal_id"])
            assert signal is not None
            assert signals.set_execution(session, signal, price=price, source="TELEGRAM", at=AT) is changed
    (kept,) = stored(database, SIGNALS)
    assert (kept["is_executed"], kept["execution_price"]) == (True, 45100.0)
    assert (kept["execution_source"], kept["executed_at"], kept["updated_at"]) == ("TELEGRAM", AT, MOMENT)


def test_of_many_who_execute_at_once_one_does(database: Database) -> None:
    row = signal_row()
    store(database, SIGNALS, row)
    start, done = threading.Barrier(6), []

    def execute(price: float) -> None:
        start.wait()
        with database.transaction() as session:
            signal = signals.lock(session, row["signal_id"])
            assert signal is not None
            if signals.set_execution(session, signal, price=price, source="API", at=AT):
                done.append(price)

    threads = [threading.Thread(target=execute, args=(float(n),)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    (kept,) = stored(database, SIGNALS)
    assert [kept["execution_price"]] == done


def test_a_result_is_written_with_all_that_is_known_of_it(database: Database, clock: FakeClock) -> None:
    row = signal_row()
    store(database, SIGNALS, row)
    result = {"outcome": "WIN", "pnl_percentage": 3.3, "exit_price": 46500.0, "exit_reason": "TP", "closed_at": AT}
    with database.transaction() as session:
        signal = signals.lock(session, row["signal_id"])
        assert signal is not None
        signals.set_outcome(session, signal, result)
        assert signals.to_dict(signal)["closed_at"] == AT.isoformat()
    (kept,) = stored(database, SIGNALS)
    assert {name: kept[name] for name in result} == result
    assert kept["mfe_r"] is None


def test_only_columns_of_a_result_can_be_written_as_one(database: Database) -> None:
    row = signal_row()
    store(database, SIGNALS, row)
    with pytest.raises(ValueError, match="'symbol'"), database.transaction() as session:
        signal = signals.lock(session, row["signal_id"])
        assert signal is not None
        signals.set_outcome(session, signal, {"outcome": "WIN", "symbol": "X"})
    assert stored(database, SIGNALS)[0]["outcome"] == "PENDING"


def test_open_signals_come_in_batches_with_what_an_outcome_needs(database: Database) -> None:
    rows = [signal_row() for _ in range(5)]
    others = [
        signal_row(outcome="WIN"),
        signal_row(entry_price=None),
        signal_row(take_profit=None),
        signal_row(stop_loss=None),
    ]
    store(database, SIGNALS, *rows[:2], *others, *rows[2:])
    found: list[str] = []
    after = 0
    with database.reading() as session:
        while batch := signals.open_signals(session, after_id=after, limit=2):
            found += [signal.signal_id for signal in batch]
            after = batch[-1].id
        late = signals.open_signals(session, since=from_epoch_us(rows[4]["created_at"]))
    assert found == [row["signal_id"] for row in rows]
    assert [signal.signal_id for signal in late] == [rows[4]["signal_id"]]


def test_the_timeline_tells_the_story_in_order(database: Database) -> None:
    row = signal_row(created_at=START_US, outcome="WIN", closed_at=START_US + 5, exit_reason="TP")
    store(database, SIGNALS, row)
    store(database, "gpt_query_log", query_row(query_id=row["query_id"], created_at=START_US - 1))
    store(
        database,
        "user_interaction",
        interaction_row(signal_id=row["signal_id"], created_at=START_US + 2, interaction_type="EXECUTE"),
        interaction_row(signal_id=row["signal_id"], created_at=START_US + 1),
        interaction_row(signal_id="another"),
    )
    with database.reading() as session:
        signal = signals.find(session, row["signal_id"])
        assert signal is not None
        events = signals.timeline(session, signal)
    assert [event["kind"] for event in events] == ["query", "signal", "interaction", "interaction", "outcome"]
    assert [event["data"].get("interaction_type") for event in events[2:4]] == ["CLICK", "EXECUTE"]
    assert events[-1]["data"]["exit_reason"] == "TP"
    assert "response_data" not in events[0]["data"]
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)


def test_a_lonely_open_signal_has_a_short_story(database: Database) -> None:
    row = signal_row(query_id="qry_that_was_never_logged")
    store(database, SIGNALS, row)
    with database.reading() as session:
        signal = signals.find(session, row["signal_id"])
        assert signal is not None
        assert [event["kind"] for event in signals.timeline(session, signal)] == ["signal"]


def test_the_first_execution_of_a_signal_is_known(database: Database) -> None:
    first = interaction_row(signal_id="s", interaction_type="EXECUTE")
    second = interaction_row(signal_id="s", interaction_type="EXECUTE")
    store(database, "user_interaction", second, first, interaction_row(signal_id="s"))
    with database.reading() as session:
        assert interactions.first_execution(session, "s") == first["interaction_id"]
        assert interactions.first_execution(session, "t") is None


def test_an_interaction_joins_the_transaction_of_its_effect(database: Database) -> None:
    row = interaction_row(signal_id="s", user_id="7")
    with pytest.raises(RuntimeError), database.transaction() as session:
        intake.insert(session.connection(), {interactions.TABLE: [row]})
        raise RuntimeError
    with database.transaction() as session:
        intake.insert(session.connection(), {interactions.TABLE: [row]})
        intake.insert(session.connection(), {interactions.TABLE: [row]})
    (kept,) = stored(database, "user_interaction")
    assert (kept["user_id"], kept["created_at"]) == ("7", from_epoch_us(row["created_at"]))


# Retention


def test_old_rows_go_in_batches_the_oldest_first(database: Database) -> None:
    rows = [signal_row(created_at=START_US + n) for n in range(7)]
    store(database, SIGNALS, *reversed(rows))
    cutoff = AT + timedelta(microseconds=5)
    model = signals.SignalHistory
    with database.reading() as session:
        assert retention.count_older_than(session, model, cutoff) == 5
        assert retention.count_older_than(session, model, AT) == 0
    left = []
    for _ in range(3):
        with database.transaction() as session:
            left.append(retention.delete_older_than(session, model, cutoff, limit=2))
        if len(left) == 1:
            assert min(row["created_at"] for row in stored(database, SIGNALS)) == AT + timedelta(microseconds=2)
    assert left == [2, 2, 1]
    with database.transaction() as session:
        assert retention.delete_older_than(session, model, cutoff, limit=2) == 0
    assert [row["signal_id"] for row in stored(database, SIGNALS)] == [rows[6]["signal_id"], rows[5]["signal_id"]]
