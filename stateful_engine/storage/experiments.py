"""Tables `ab_test_experiments`, `ab_test_assignments`, `ab_test_snapshots`: who was served what, to what effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, false, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from stateful_engine.storage.base import Base, JsonStored, ShortText, big_id
from stateful_engine.storage.gpt_queries import GPTQueryLog
from stateful_engine.storage.interactions import UserInteraction
from stateful_engine.storage.signals import SignalHistory

TABLE = "ab_test_experiments"
ASSIGNMENTS = "ab_test_assignments"
SNAPSHOTS = "ab_test_snapshots"


class Experiment(Base):
    """One experiment: its design, frozen at its start, and where it is in its life."""

    __tablename__ = TABLE

    id: Mapped[int] = mapped_column(big_id(), primary_key=True)
    name: Mapped[str] = mapped_column(ShortText, unique=True)
    description: Mapped[str | None]
    variant_a: Mapped[Any | None] = mapped_column(JsonStored)
    variant_b: Mapped[Any | None] = mapped_column(JsonStored)
    weight_a: Mapped[float] = mapped_column(default=0.5, server_default="0.5")
    coverage: Mapped[float] = mapped_column(default=1.0, server_default="1.0")
    salt: Mapped[str | None]
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    layer: Mapped[Any | None] = mapped_column(JsonStored)
    design: Mapped[str]
    primary_metric: Mapped[str]
    settings: Mapped[Any | None] = mapped_column(JsonStored)
    horizon_seconds: Mapped[int]
    planned_n: Mapped[int | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    active: Mapped[bool] = mapped_column(default=False, server_default=false())
    paused: Mapped[bool] = mapped_column(default=False, server_default=false())
    winner: Mapped[str | None]


class Assignment(Base):
    """Which variant a unit is served, decided once for each version of an experiment."""

    __tablename__ = ASSIGNMENTS

    id: Mapped[int] = mapped_column(big_id(), primary_key=True)
    experiment_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(f"{TABLE}.id", ondelete="CASCADE"))
    user_id: Mapped[str] = mapped_column(ShortText)
    variant: Mapped[str]
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    assigned_at: Mapped[datetime]
    first_exposed_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("experiment_id", "user_id"),
        CheckConstraint("variant IN ('A', 'B')", name="variant"),
    )


class Snapshot(Base):
    """The results of an experiment as they were at one moment; never changed."""

    __tablename__ = SNAPSHOTS

    id: Mapped[int] = mapped_column(big_id(), primary_key=True)
    experiment_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(f"{TABLE}.id", ondelete="CASCADE"))
    version: Mapped[int]
    taken_at: Mapped[datetime]
    results: Mapped[Any] = mapped_column(JsonStored)

    __table_args__ = (Index(None, "experiment_id", "id"),)


# Experiments


def insert(session: Session, values: Mapping[str, Any]) -> bool:
    """Add an experiment; False when its name is taken."""
    statement = _kind(session).insert(Experiment).values(**values)
    made = session.execute(statement.on_conflict_do_nothing(index_elements=["name"]).returning(Experiment.id))
    return made.scalar_one_or_none() is not None


def find(session: Session, name: str) -> Experiment | None:
    """The experiment with this name, or None."""
    return session.scalar(select(Experiment).where(Experiment.name == name))


def lock(session: Session, name: str) -> Experiment | None:
    """The experiment with this name, held against other writers until the transaction ends, or None."""
    return session.scalar(select(Experiment).where(Experiment.name == name).with_for_update())


def all_of(session: Session, *, limit: int = 100) -> Sequence[Experiment]:
    """The newest experiments first."""
    return session.scalars(select(Experiment).order_by(Experiment.id.desc()).limit(limit)).all()


# Assignments


def stored_variant(session: Session, experiment_id: int, unit: str, version: int) -> str | None:
    """What a unit was served in this version, or None."""
    return session.scalar(
        select(Assignment.variant).where(
            Assignment.experiment_id == experiment_id, Assignment.user_id == unit, Assignment.version == version
        )
    )


def keep(session: Session, values: Mapping[str, Any]) -> None:
    """Keep an assignment unless this version has one for its unit; one of an earlier version gives way.

    Read `stored_variant` in a statement of its own afterwards: under a race another variant may have been kept.
    """
    statement = _kind(session).insert(Assignment).values(**values)
    newer = {name: statement.excluded[name] for name in ("variant", "version", "assigned_at")} | {
        "first_exposed_at": None
    }
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["experiment_id", "user_id"],
            set_=newer,
            where=Assignment.version < statement.excluded.version,
        )
    )


def expose(session: Session, experiment_id: int, unit: str, at: datetime) -> bool:
    """Note the first exposure of a unit; False when it was noted before."""
    done: Any = session.execute(
        update(Assignment)
        .where(
            Assignment.experiment_id == experiment_id,
            Assignment.user_id == unit,
            Assignment.first_exposed_at.is_(None),
        )
        .values(first_exposed_at=at),
        execution_options={"synchronize_session": False},
    )
    return bool(done.rowcount)


def exposed_units(session: Session, experiment_id: int, version: int) -> dict[str, int]:
    """How many units were exposed to each variant in this version."""
    statement = (
        select(Assignment.variant, func.count())
        .where(
            Assignment.experiment_id == experiment_id,
            Assignment.version == version,
            Assignment.first_exposed_at.is_not(None),
        )
        .group_by(Assignment.variant)
    )
    return {str(variant): int(count) for variant, count in session.execute(statement)}


# Results


@dataclass(frozen=True, slots=True)
class ExposedRow:
    """A signal that was made under an experiment, with its query and what people did with it."""

    signal: SignalHistory
    query: GPTQueryLog | None
    clicks: int
    rating: float | None


def exposed_signals(session: Session, name: str, since: datetime, *, batch: int = 1000) -> Iterator[ExposedRow]:
    """All signals stamped with an experiment since its start, by ascending id, executed or not."""
    last = 0
    while True:
        statement = (
            select(SignalHistory)
            .where(SignalHistory.experiment == name, SignalHistory.created_at >= since, SignalHistory.id > last)
            .order_by(SignalHistory.id)
            .limit(batch)
        )
        rows = session.scalars(statement).all()
        if not rows:
            return
        queries = _queries(session, [row.query_id for row in rows if row.query_id is not None])
        acts = _acts(session, [row.signal_id for row in rows])
        for row in rows:
            clicks, rating = acts.get(row.signal_id, (0, None))
            yield ExposedRow(row, queries.get(row.query_id or ""), clicks, rating)
        last = rows[-1].id
        session.expunge_all()


def _queries(session: Session, query_ids: Sequence[str]) -> dict[str, GPTQueryLog]:
    found = session.scalars(select(GPTQueryLog).where(GPTQueryLog.query_id.in_(query_ids)))
    return {row.query_id: row for row in found}


def _acts(session: Session, signal_ids: Sequence[str]) -> dict[str, tuple[int, float | None]]:
    """Clicks and the mean rating of each signal."""
    clicks: dict[str, int] = {}
    ratings: dict[str, list[float]] = {}
    statement = select(
        UserInteraction.signal_id, UserInteraction.interaction_type, UserInteraction.interaction_data
    ).where(UserInteraction.signal_id.in_(signal_ids), UserInteraction.interaction_type.in_(("CLICK", "FEEDBACK")))
    for signal_id, kind, data in session.execute(statement):
        if kind == "CLICK":
            clicks[signal_id] = clicks.get(signal_id, 0) + 1
        rating = data.get("rating") if isinstance(data, dict) else None
        if isinstance(rating, (int, float)) and not isinstance(rating, bool):
            ratings.setdefault(signal_id, []).append(float(rating))
    return {
        name: (clicks.get(name, 0), sum(ratings[name]) / len(ratings[name]) if name in ratings else None)
        for name in {*clicks, *ratings}
    }


@dataclass(frozen=True, slots=True)
class Answered:
    """The queries that one caller made under a variant, `caller` None for those that nobody is known to have made."""

    variant: str
    caller: str | None
    total: int
    failed: int


def answered_queries(session: Session, name: str, since: datetime) -> list[Answered]:
    """How many queries there were and how many failed, by variant and by person, conversation or session."""
    caller = func.coalesce(GPTQueryLog.user_ref, GPTQueryLog.conversation_ref, GPTQueryLog.session_id)
    failed = func.count().filter(GPTQueryLog.is_successful.is_(False))
    statement = (
        select(GPTQueryLog.variant, caller, func.count(), failed)
        .where(GPTQueryLog.experiment == name, GPTQueryLog.created_at >= since)
        .group_by(GPTQueryLog.variant, caller)
        .order_by(GPTQueryLog.variant, caller)
    )
    return [Answered(str(variant), who, total, bad) for variant, who, total, bad in session.execute(statement)]


# Snapshots


def add_snapshot(session: Session, values: Mapping[str, Any]) -> Snapshot:
    """Keep results as they are now."""
    row = Snapshot(**values)
    session.add(row)
    session.flush()
    return row


def snapshots(session: Session, experiment_id: int, *, limit: int = 50) -> Sequence[Snapshot]:
    """The newest snapshots first."""
    statement = (
        select(Snapshot).where(Snapshot.experiment_id == experiment_id).order_by(Snapshot.id.desc()).limit(limit)
    )
    return session.scalars(statement).all()


def snapshot(session: Session, experiment_id: int, snapshot_id: int) -> Snapshot | None:
    """A snapshot of this experiment, or None."""
    return session.scalar(select(Snapshot).where(Snapshot.experiment_id == experiment_id, Snapshot.id == snapshot_id))


def _kind(session: Session) -> Any:
    return postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
