"""Forgetting what is old: children first, in small transactions, so that no writer waits long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from stateful_engine.domain import clock
from stateful_engine.services import inputs
from stateful_engine.storage import retention
from stateful_engine.storage.gpt_queries import GPTQueryLog
from stateful_engine.storage.interactions import UserInteraction
from stateful_engine.storage.signals import SignalHistory

if TYPE_CHECKING:
    from stateful_engine.storage.base import Base
    from stateful_engine.storage.database import Database

CHILDREN_FIRST: dict[str, type[Base]] = {
    "deleted_interactions": UserInteraction,
    "deleted_queries": GPTQueryLog,
    "deleted_signals": SignalHistory,
}


class Retention:
    """Deletes records by age."""

    def __init__(self, database: Database, *, on_change: Callable[[Mapping[str, int]], None]) -> None:
        self._database = database
        self._on_change = on_change

    def cleanup(self, days_to_keep: int = 90, *, dry_run: bool = False) -> dict[str, Any]:
        """Delete what is older than `days_to_keep` days (at least 1), or only count it; counts by table."""
        kept = inputs.days(days_to_keep, least=1)
        cutoff = clock.now() - timedelta(days=kept)
        clear = self._count if dry_run else self._delete
        counts = {name: clear(model, cutoff) for name, model in CHILDREN_FIRST.items()}
        if not dry_run:
            self._on_change({model.__tablename__: counts[name] for name, model in CHILDREN_FIRST.items()})
        return {**counts, "cutoff_date": cutoff.isoformat(), "dry_run": dry_run}

    def _count(self, model: type[Base], cutoff: datetime) -> int:
        with self._database.reading() as session:
            return retention.count_older_than(session, model, cutoff)

    def _delete(self, model: type[Base], cutoff: datetime) -> int:
        total = 0
        while True:
            with self._database.transaction() as session:
                gone = retention.delete_older_than(session, model, cutoff)
            total += gone
            if gone < retention.BATCH:
                return total
