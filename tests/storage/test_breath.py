"""Whoever stores a batch lets others go first, between its steps and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stateful_engine.storage import intake
from stateful_engine.storage.breath import breathe, taken
from tests.storage.conftest import signal_row

if TYPE_CHECKING:
    from stateful_engine.storage.database import Database


def test_breath_is_taken_inside_the_block_alone() -> None:
    breaths: list[str] = []
    breathe()
    with taken(lambda: breaths.append("outer")):
        breathe()
        with taken(lambda: breaths.append("inner")):
            breathe()
        breathe()
    breathe()
    assert breaths == ["outer", "inner", "outer"]


def test_a_batch_is_stored_in_many_steps(database: Database) -> None:
    steps: list[int] = []
    rows = {"signal_history": [signal_row(signal_id=f"sig_{number:012x}_1700000000") for number in range(300)]}
    with taken(lambda: steps.append(1)), database.connection() as connection:
        assert intake.insert(connection, rows) == {"signal_history": 300}
    assert len(steps) > 50
