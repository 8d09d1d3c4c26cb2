"""Who used the bot on which day and who came back, and how large the memory is: on both databases."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from stateful_engine import AnalyticsLogger, InvalidInputError, PerformanceDashboard
from stateful_engine.services.system import sizes
from stateful_engine.storage import sizes as table_sizes

if TYPE_CHECKING:
    from flask import Flask

    from stateful_engine.extension import Runtime
    from tests.factories import FakeClock

MONDAY = datetime(2026, 3, 2, 0, 0, tzinfo=timezone.utc)


def act(*people: str) -> None:
    for person in people:
        AnalyticsLogger().log_action(person, None, "start")


def test_people_are_counted_once_a_day_and_days_without_any_are_zero(app: Flask, clock: FakeClock):
    clock.set(MONDAY)
    with app.app_context():
        act("a", "a", "b")
        clock.advance(days=2, hours=23, minutes=59)
        act("a")
        assert PerformanceDashboard().get_daily_activity(7) == [
            {"day": "2026-03-02", "users": 2, "actions": 3},
            {"day": "2026-03-03", "users": 0, "actions": 0},
            {"day": "2026-03-04", "users": 1, "actions": 1},
        ]
        clock.advance(days=400)
        assert PerformanceDashboard().get_daily_activity(0) == []


def test_who_came_back_counts_from_the_week_of_the_first_visit(app: Flask, clock: FakeClock):
    clock.set(MONDAY)
    with app.app_context():
        act("a", "b")
        clock.advance(days=6, hours=23)  # the Sunday of the same week
        act("a")
        clock.advance(hours=2)
        act("a", "c")
        clock.advance(days=7)
        act("b", "c")
        assert PerformanceDashboard().get_retention(3) == [
            {"week": "2026-03-02", "people": 2, "returned": [1, 1]},
            {"week": "2026-03-09", "people": 1, "returned": [1]},
            {"week": "2026-03-16", "people": 0, "returned": []},
        ]
        assert [week["people"] for week in PerformanceDashboard().get_retention(2)] == [2, 1]
        with pytest.raises(InvalidInputError):
            PerformanceDashboard().get_retention(0)


def test_every_table_is_named_with_its_rows_and_the_memory_has_a_size(app: Flask, runtime: Runtime, monkeypatch):
    with app.app_context():
        act("a", "b", "c")
    found = sizes(runtime.database)
    rows = {table.name: table for table in found.tables}
    assert rows["user_actions"].rows == 3 and not rows["user_actions"].is_more
    assert rows["signal_history"].rows == 0
    assert found.total_bytes and found.total_bytes > 10_000
    on_postgresql = runtime.database.dialect == "postgresql"
    assert all((table.bytes is not None) is on_postgresql for table in found.tables)
    monkeypatch.setattr(table_sizes, "MOST_ROWS", 2)
    many = next(table for table in sizes(runtime.database).tables if table.name == "user_actions")
    assert (many.rows, many.is_more) == (2, True)
