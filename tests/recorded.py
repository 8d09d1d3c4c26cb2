"""What a host's app has in its database, read past every service: the rows as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from stateful_engine.storage.base import Base

if TYPE_CHECKING:
    from flask import Flask

    from stateful_engine.extension import Runtime

Row = dict[str, Any]


class Recorded(NamedTuple):
    """All rows of the three tables that capturing fills, in the order of their ids."""

    signals: list[Row]
    queries: list[Row]
    interactions: list[Row]

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many signals, queries and interactions there are."""
        return len(self.signals), len(self.queries), len(self.interactions)


def recorded(app: Flask) -> Recorded:
    """Flush the engine of `app` and read what arrived."""
    runtime: Runtime = app.extensions["stateful_engine"]
    assert runtime.flush(10.0), "the records did not reach the database"
    return Recorded(*(rows(runtime, name) for name in ("signal_history", "gpt_query_log", "user_interaction")))


def rows(runtime: Runtime, table_name: str) -> list[Row]:
    """The rows of one table in the order of their ids."""
    table = Base.metadata.tables[table_name]
    with runtime.database.reading() as session:
        return [dict(row) for row in session.execute(select(table).order_by(table.c.id)).mappings()]


def failures(app: Flask) -> dict[str, int]:
    """What the guard swallowed, by place."""
    runtime: Runtime = app.extensions["stateful_engine"]
    return {name: n for name, n in runtime.guard.snapshot().items() if name.startswith("failed_")}
