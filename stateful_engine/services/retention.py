"""Forgetting what is old, and people who ask for it: in small transactions, so that no writer waits long.

Pre-aggregates are kept unless asked otherwise: the rows go, and reports still count them. Windows that begin before the
cutoff then begin with a full hour, and filtered reports, which read rows, see only those that are left.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from stateful_engine.domain import clock
from stateful_engine.domain.periods import Grain, period_of
from stateful_engine.errors import Fault, InvalidInputError
from stateful_engine.services import inputs
from stateful_engine.storage import forgetting, funnel, funnel_days, retention, rollup_forgetting, rollup_upkeep, tables
from stateful_engine.storage.base import SHORT_TEXT
from stateful_engine.storage.rollup_measures import FAMILIES, Family

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table

    from stateful_engine.storage.database import Database

GUIDE_NAMES = {
    "deleted_interactions": "user_interaction",
    "deleted_queries": "gpt_query_log",
    "deleted_signals": "signal_history",
}


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What forgetting a person did, in rows by table: those that went, and those that stayed without the person."""

    deleted: dict[str, int]
    anonymised: dict[str, int]


class Retention:
    """Deletes records by age, or by the person they name."""

    def __init__(self, database: Database, *, on_change: Callable[[Mapping[str, int]], None]) -> None:
        self._database = database
        self._on_change = on_change

    def cleanup(self, days_to_keep: int = 90, *, dry_run: bool = False, rollups: bool = False) -> dict[str, Any]:
        """Delete signals, queries and interactions older than `days_to_keep` days (at least 1), or only count them.

        Returns `{deleted_signals, deleted_queries, deleted_interactions, cutoff_date, dry_run}`. With `rollups` the
        reports forget them too.
        """
        kept = inputs.days(days_to_keep, least=1)
        counts = self.cleanup_tables(dict.fromkeys(GUIDE_NAMES.values(), kept), dry_run=dry_run, rollups=rollups)
        named = {name: counts[table] for name, table in GUIDE_NAMES.items()}
        return {**named, "cutoff_date": _cutoff(kept).isoformat(), "dry_run": dry_run}

    def cleanup_tables(
        self, days: Mapping[str, int], *, dry_run: bool = False, rollups: bool = False
    ) -> dict[str, int]:
        """Delete what is older than so many days, by table, children first; how many rows went, by table."""
        for name in days:
            _refuse_unknown(name)
        counts = {}
        for name in retention.CHILDREN_FIRST:
            if name in days:
                cutoff = _cutoff(inputs.days(days[name], least=1))
                counts[name] = self._older(name, cutoff, dry_run=dry_run, rollups=rollups)
        self._announce(counts, dry_run=dry_run)
        return counts

    def forget_user(self, user_id: str, *, dry_run: bool = False, rollups: bool = True) -> Forgotten:
        """Delete every record that names a person, and take the person out of the records that stay.

        `user_id` is the id as callers send it, also with `STATEFUL_HASH_USER_IDS`; the pseudonym is taken too. Reports
        then say what the rows that are left say; without `rollups` they still count what the person did, without a
        name. Doing it again changes nothing.
        """
        names, seen = self.names_of(user_id), self._newest_ids()
        deleted = self._without(names, dry_run=dry_run, rollups=rollups)
        mark = f"{rollup_forgetting.FORGOTTEN}{secrets.token_hex(6)}"
        found = {name: self._scrubbed(tables.table(name), names, mark, dry_run=dry_run) for name in forgetting.SEARCHED}
        anonymised = {name: count for name, count in found.items() if count}
        if not dry_run:
            # A batch that another process had in hand when this began may have been stored since.
            again = self._without(names, dry_run=False, rollups=rollups, newer_than=seen)
            deleted = {name: count + again[name] for name, count in deleted.items()}
            self._forget_names(names)
        self._announce({**deleted, **anonymised}, dry_run=dry_run)
        return Forgotten(deleted, anonymised)

    def _newest_ids(self) -> dict[str, int]:
        with self._database.reading() as session:
            return {table.name: retention.newest_id(session, table) for table in retention.tables_of_people()}

    def _without(
        self, names: Sequence[str], *, dry_run: bool, rollups: bool, newer_than: Mapping[str, int] | None = None
    ) -> dict[str, int]:
        """Delete the rows that name a person in a column of their own, children first; how many by table."""
        return {
            table.name: self._of_person(
                table,
                retention.of_user(table, names, after_id=(newer_than or {}).get(table.name)),
                dry_run=dry_run,
                rollups=rollups,
            )
            for table in retention.tables_of_people()
        }

    def names_of(self, user_id: Any) -> list[str]:
        """The names under which a person may be stored: the id, and its pseudonym where ids are hidden."""
        name = inputs.text(user_id)
        if name is None:
            detail = "user_id is empty; name the person to forget"
            raise InvalidInputError(detail, errors=(Fault("/user_id", detail),))
        return list(dict.fromkeys([name[:SHORT_TEXT], self._database.people.of(name)]))

    def _older(self, name: str, cutoff: datetime, *, dry_run: bool, rollups: bool) -> int:
        table = tables.table(name)
        condition = retention.older_than(table, cutoff)
        if dry_run:
            return self._count(table, condition)
        family, moment = self._counted(name), clock.to_epoch_us(cutoff)
        if family is not None:
            rollup_forgetting.keep_figures_before(self._database, family, moment, for_good=not rollups)
        gone = sum(len(rows) for rows in self._deleted(table, condition))
        if family is not None and rollups:
            rollup_forgetting.drop_figures_before(self._database, family, moment)
        return gone

    def _of_person(self, table: Table, condition: ColumnElement[bool], *, dry_run: bool, rollups: bool) -> int:
        if dry_run:
            return self._count(table, condition)
        family, gone, slots = self._counted(table.name), 0, set()
        for rows in self._deleted(table, condition, discount=rollups, of_person=True):
            gone += len(rows)
            if family is not None and rollups:
                slots |= {period_of(Grain.SLOT, clock.to_epoch_us(row.created_at)) for row in rows}
        if family is not None and slots:
            rollup_forgetting.recount_people(self._database, family, slots)
        return gone

    def _counted(self, name: str) -> Family | None:
        """What is pre-aggregated of a table, once every row of it is counted; None for other tables."""
        family = FAMILIES.get(name)
        if family is not None:
            rollup_upkeep.catch_up(self._database, family)
        return family

    def _deleted(
        self, table: Table, condition: ColumnElement[bool], *, discount: bool = False, of_person: bool = False
    ) -> Iterator[Sequence[Any]]:
        """Delete all rows that meet a condition, batch by batch; at last those that others were busy with.

        Rows of a person are few, and not every table finds them by an index: these are waited for at once.
        """
        for wait in (True,) if of_person else (False, True):
            rows: Sequence[Any] = range(retention.BATCH)
            while len(rows) == retention.BATCH:
                with self._database.connection() as connection:
                    rows = retention.delete_some(
                        connection, table, condition, discount=discount, of_person=of_person, wait=wait
                    )
                yield rows

    def _scrubbed(self, table: Table, names: Sequence[str], mark: str, *, dry_run: bool) -> int:
        after, count = 0, 0
        while True:
            with self._database.connection() as connection:
                piece = forgetting.piece_after(connection, table, after)
                if piece is None:
                    return count
                count += forgetting.scrub(connection, table, piece, names, mark=mark, dry_run=dry_run)
            after = piece[1]

    def _forget_names(self, names: Sequence[str]) -> None:
        with self._database.connection() as connection:
            for name in names:
                funnel_days.mark_of_user(connection, name)
                funnel.forget_user(connection, name)
                for family in FAMILIES.values():
                    rollup_forgetting.forget_name(connection, family, name)

    def _count(self, table: Table, condition: ColumnElement[bool]) -> int:
        with self._database.reading() as session:
            return retention.count(session, table, condition)

    def _announce(self, counts: Mapping[str, int], *, dry_run: bool) -> None:
        if not dry_run:
            self._on_change(counts)


def _cutoff(days: int) -> datetime:
    return clock.now() - timedelta(days=days)


def _refuse_unknown(name: str) -> None:
    if name not in retention.CHILDREN_FIRST:
        known = ", ".join(sorted(retention.CHILDREN_FIRST))
        detail = f"no table to clean up is called {name[:64]!r}; tables are {known}"
        raise InvalidInputError(detail, errors=(Fault("/table", detail),))
