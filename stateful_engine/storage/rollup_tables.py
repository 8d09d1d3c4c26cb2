"""Tables of the pre-aggregates: counts by period, sets of people by period, and how far a signal has come.

A cell of `rollup_signals`, `rollup_queries` or `rollup_interactions` holds what the rows of one period amount to that
have one value in one dimension; the dimension `''` is all rows, the value `''` stands for nothing said. All figures are
whole numbers (see `domain.amounts` for their units), so that adding and taking away never drifts.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, Text, UniqueConstraint, false, text
from sqlalchemy.dialects.postgresql import BIT
from sqlalchemy.orm import Mapped, mapped_column

from stateful_engine.storage.base import Base, JsonStored, big_id

SET_SIZE = 2048
"""People per row of `rollup_sets`: a bit each."""


def count() -> Any:
    """A column that counts rows of a period, from 0; 32 bits are added up faster than 64."""
    return mapped_column(Integer, default=0, server_default=text("0"))


def amount() -> Any:
    """A column of sums, from 0."""
    return mapped_column(BigInteger, default=0, server_default=text("0"))


class RollupMark(Base):
    """How current the pre-aggregates of a table are.

    `changes` counts the transactions that changed them, so that a reader can tell whether anything is new; its row is
    also the lock under which they are changed. Cells of coarse periods hold what came before `sealed_until`, sets of
    coarse periods exist as far as they end by it. Rows older than `forgotten` were deleted and are still counted.
    The month holds the 30 days before `sealed_until` if `month_at` equals `changes`, so that it is not read after a
    version that does not keep it has written; of the hour `cut_hour` (0: of none) there are cuts.
    Moments are microseconds since the epoch. What is `stale` has to be made again from the rows before it is read, as
    signals have come to be told apart in more ways.
    """

    __tablename__ = "rollup_marks"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    changes: Mapped[int] = amount()
    sealed_until: Mapped[int] = amount()
    forgotten: Mapped[int] = amount()
    stale: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    month_at: Mapped[int] = amount()
    cut_hour: Mapped[int] = amount()


class _Cell:
    """What every table of cells has in common."""

    dimension: Mapped[str] = mapped_column(Text, primary_key=True)
    period: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    value: Mapped[str] = mapped_column(Text, primary_key=True)
    total: Mapped[int] = count()


class RollupSignals(_Cell, Base):
    """What the signals of a period amount to."""

    __tablename__ = "rollup_signals"

    executed: Mapped[int] = count()
    win: Mapped[int] = count()
    loss: Mapped[int] = count()
    breakeven: Mapped[int] = count()
    unfilled: Mapped[int] = count()
    ambiguous_win: Mapped[int] = count()
    ambiguous_loss: Mapped[int] = count()
    confidence_n: Mapped[int] = count()
    confidence: Mapped[int] = amount()
    pnl_n: Mapped[int] = count()
    pnl: Mapped[int] = amount()
    pnl_gain: Mapped[int] = amount()
    pnl_square_high: Mapped[int] = amount()
    pnl_square_low: Mapped[int] = amount()
    r_n: Mapped[int] = count()
    r: Mapped[int] = amount()
    r_gain: Mapped[int] = amount()
    r_square_high: Mapped[int] = amount()
    r_square_low: Mapped[int] = amount()


class RollupQueries(_Cell, Base):
    """What the queries of a period amount to."""

    __tablename__ = "rollup_queries"

    successful: Mapped[int] = count()
    latency_n: Mapped[int] = count()
    latency: Mapped[int] = amount()
    tokens_n: Mapped[int] = count()
    tokens: Mapped[int] = amount()
    prompt_tokens: Mapped[int] = amount()
    completion_tokens: Mapped[int] = amount()
    cost_n: Mapped[int] = count()
    cost: Mapped[int] = amount()


class RollupInteractions(_Cell, Base):
    """How many interactions a period had."""

    __tablename__ = "rollup_interactions"


class RollupMember(Base):
    """The number by which a set knows a person or a conversation."""

    __tablename__ = "rollup_members"

    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[str] = mapped_column(Text, primary_key=True)
    number: Mapped[int] = mapped_column(Integer)

    __table_args__ = (UniqueConstraint("kind", "number"),)


class RollupSet(Base):
    """Who was there in a period: bit n of chunk c stands for the member with the number c * SET_SIZE + n."""

    __tablename__ = "rollup_sets"

    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    period: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    chunk: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    bits: Mapped[bytes] = mapped_column(LargeBinary().with_variant(BIT(SET_SIZE), "postgresql"))


class RollupPending(Base):
    """What a host's own transaction has changed: written beside the rows, counted by the next writer or reader."""

    __tablename__ = "rollup_pending"

    id: Mapped[int] = mapped_column(big_id(), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    payload: Mapped[Any] = mapped_column(JsonStored)


class RollupFunnel(Base):
    """How far the signals of a day (since the epoch) came: how many took a step, and how long that took them together.

    The kind `signal` counts signals by where they came from, `visit` users by the door through which they came; `bin`
    is that of the time as `amounts.latency_bin` has it. A row of the kind `stale` says that the day is to be counted.
    """

    __tablename__ = "rollup_funnel"

    day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    source: Mapped[str] = mapped_column(Text, primary_key=True)
    step: Mapped[str] = mapped_column(Text, primary_key=True)
    bin: Mapped[str] = mapped_column(Text, primary_key=True)
    total: Mapped[int] = count()
    microseconds: Mapped[int] = amount()


class SignalFunnel(Base):
    """When one user first saw a signal and first acted on it, in microseconds; the earliest wins."""

    __tablename__ = "signal_funnel"

    signal_id: Mapped[str] = mapped_column(Text, primary_key=True)
    user_id: Mapped[str] = mapped_column(Text, primary_key=True)
    seen_at: Mapped[int | None] = mapped_column(BigInteger)
    seen_source: Mapped[str | None] = mapped_column(Text)
    executed_at: Mapped[int | None] = mapped_column(BigInteger)
    executed_source: Mapped[str | None] = mapped_column(Text)
