"""Columns: the same meaning on both databases, and no value that one of them refuses."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import literal, select
from sqlalchemy.exc import StatementError

from stateful_engine.storage import signals
from stateful_engine.storage.base import SHORT_TEXT, CleanText, Number, ShortText, Whole, finite, plain, to_dict, whole
from stateful_engine.storage.database import Database
from tests.storage.conftest import signal_row, stored

JAKARTA = timezone(timedelta(hours=7))


def written(database: Database, **columns: Any) -> dict[str, Any]:
    """The row that comes back after the ORM has written one with these columns."""
    with database.transaction() as session:
        session.add(signals.SignalHistory(**signal_row(**columns)))
    (row,) = stored(database, "signal_history")
    return row


def test_a_time_comes_back_as_the_same_moment_in_utc(database: Database) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=JAKARTA)
    kept = written(database, executed_at=moment)["executed_at"]
    assert kept == moment
    assert kept.utcoffset() == timedelta(0)


def test_a_time_without_microseconds_is_kept_and_sorted_like_others(database: Database) -> None:
    whole_second = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    written(database, created_at=whole_second)
    with database.reading() as session:
        later = select(signals.SignalHistory).where(signals.SignalHistory.created_at > whole_second)
        assert session.scalars(later).all() == []
        again = select(signals.SignalHistory).where(signals.SignalHistory.created_at == whole_second)
        assert len(session.scalars(again).all()) == 1


def test_a_time_of_no_zone_is_refused(database: Database) -> None:
    with pytest.raises(StatementError, match="naive"):
        written(database, executed_at=datetime(2026, 1, 1))  # noqa: DTZ001


def test_what_the_orm_writes_is_cleaned_like_what_comes_in_bulk(database: Database) -> None:
    kept = written(
        database,
        ai_reasoning="a\0\ud800",
        symbol="s" * 1000,
        extra={"a\0": float("inf")},
        confidence=float("nan"),
        smc_analysis=None,
    )
    assert kept["ai_reasoning"] == "a\ufffd\ufffd"
    assert kept["symbol"] == "s" * SHORT_TEXT
    assert kept["extra"] == {"a\ufffd": None}
    assert kept["confidence"] is None
    assert kept["smc_analysis"] is None


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        (CleanText(), "\0", "\ufffd"),
        (CleanText(), 5, "5"),
        (ShortText(), "x" * 300, "x" * SHORT_TEXT),
        (Number(), "1.5", 1.5),
        (Number(), Decimal("2.5"), 2.5),
        (Whole(), 2**63 - 1, 2**63 - 1),
        (Whole(), 2**63, None),
        (Whole(), 1.6, 2),
    ],
)
def test_values_to_compare_with_are_treated_like_stored_ones(
    database: Database, kind: Any, value: Any, kept: Any
) -> None:
    with database.reading() as session:
        assert session.scalar(select(literal(value, kind))) == kept


@pytest.mark.parametrize(
    ("value", "number", "count"),
    [
        (None, None, None),
        (True, 1.0, 1),
        ("7", 7.0, 7),
        ("seven", None, None),
        (float("nan"), None, None),
        (float("-inf"), None, None),
        (10**400, None, None),
        (-(2**63), -(2.0**63), -(2**63)),
    ],
)
def test_numbers_are_what_can_be_counted_with(value: Any, number: Any, count: Any) -> None:
    assert finite(value) == number
    assert whole(value) == count


def test_a_row_becomes_plain_json(database: Database) -> None:
    with database.transaction() as session:
        row = signals.SignalHistory(**signal_row())
        session.add(row)
        session.flush()
        item = to_dict(row)
        assert to_dict(row, omit=frozenset())["id"] == 1
    assert "id" not in item
    assert item["outcome"] == "PENDING"
    assert set(item) == {column.name for column in signals.SignalHistory.__table__.columns} - {"id"}


def test_plain_values_are_those_of_json() -> None:
    moment = datetime(2026, 1, 2, tzinfo=timezone.utc)
    assert plain({1: (moment, Decimal("1.5"), Decimal("NaN"), None, True, "x")}) == {
        "1": ["2026-01-02T00:00:00+00:00", 1.5, None, None, True, "x"]
    }
