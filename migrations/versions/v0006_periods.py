"""Pre-aggregates by hour, 8 hours, day, 8 days and 64 days instead of hour, day and month.

Cells of hours and sets of five minutes are kept, as they may stand for rows that are gone; coarser ones are made anew
on the next write. Signals are told apart in more ways, so that theirs are marked to be made again from the rows.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES: tuple[str, ...] = ()
"""The tables that this revision makes: none."""

OLD_STRIDE = 500_000_000
STRIDE = 100_000_000
"""Where the numbers of hours begin; slots begin at 0, before and after."""

SIGNALS = (
    *("total", "executed", "win", "loss", "breakeven", "unfilled", "ambiguous_win", "ambiguous_loss"),
    *("confidence_n", "confidence", "pnl_n", "pnl", "pnl_gain", "pnl_square_high", "pnl_square_low"),
    *("r_n", "r", "r_gain", "r_square_high", "r_square_low"),
)
QUERIES = (
    *("total", "successful", "latency_n", "latency", "tokens_n", "tokens", "prompt_tokens", "completion_tokens"),
    *("cost_n", "cost"),
)
CELLS = {"rollup_signals": SIGNALS, "rollup_queries": QUERIES, "rollup_interactions": ("total",)}
COUNTS = (
    *("total", "executed", "win", "loss", "breakeven", "unfilled", "ambiguous_win", "ambiguous_loss"),
    *("confidence_n", "pnl_n", "r_n", "successful", "latency_n", "tokens_n", "cost_n"),
)
"""Counts of rows take 32 bits, which are added up faster; sums take 64."""

NEW_DIMENSIONS = ("pair", "r_bin", "executed_on")
OLD_MARKS = ("sealed_hour", "sealed_day", "sealed_month")

pending = sa.table("rollup_pending", sa.column("id", sa.BigInteger()), sa.column("payload", sa.JSON()))


def upgrade() -> None:
    for table, measures in CELLS.items():
        _remake(table, measures, old=OLD_STRIDE, new=STRIDE, counts=COUNTS)
    op.execute(f"DELETE FROM rollup_sets WHERE period >= {STRIDE}")
    _renumber_notes(old=OLD_STRIDE, new=STRIDE)
    op.add_column("rollup_marks", _amount("sealed"))
    op.add_column("rollup_marks", sa.Column("stale", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.execute("UPDATE rollup_marks SET stale = true WHERE name = 'signal_history'")
    for name in OLD_MARKS:
        op.drop_column("rollup_marks", name)


def downgrade() -> None:
    names = ", ".join(f"'{name}'" for name in NEW_DIMENSIONS)
    op.execute(f"DELETE FROM rollup_signals WHERE dimension IN ({names})")
    for table, measures in CELLS.items():
        _remake(table, measures, old=STRIDE, new=OLD_STRIDE, counts=())
    op.execute(f"DELETE FROM rollup_sets WHERE period >= {STRIDE}")
    _renumber_notes(old=STRIDE, new=OLD_STRIDE)
    for name in OLD_MARKS:
        op.add_column("rollup_marks", _amount(name))
    for name in ("stale", "sealed"):
        op.drop_column("rollup_marks", name)


def _remake(table: str, measures: tuple[str, ...], *, old: int, new: int, counts: tuple[str, ...]) -> None:
    """Make a table of cells anew, with the cells of hours that it had under their numbers of the other stride."""
    columns, hours = f"dimension, value, {', '.join(measures)}", f"period - {old} + {new}"
    op.execute(
        f"CREATE TABLE {table}_kept AS SELECT {hours} AS period, {columns} FROM {table} "
        f"WHERE period >= {old} AND period < {2 * old}"
    )
    op.drop_table(table)
    op.create_table(
        table,
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("period", sa.Integer(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        *(_amount(name, sa.Integer() if name in counts else sa.BigInteger()) for name in measures),
        sa.PrimaryKeyConstraint("dimension", "period", "value", name=f"pk_{table}"),
    )
    if op.get_context().dialect.name == "postgresql":
        op.execute(f'ALTER TABLE "{table}" SET (fillfactor = 70)')
    op.execute(f"INSERT INTO {table} (period, {columns}) SELECT period, {columns} FROM {table}_kept")
    op.drop_table(f"{table}_kept")


def _renumber_notes(*, old: int, new: int) -> None:
    """What hosts have left to be counted names hours, too. Printed statements (`--sql`) cannot know what lies there."""
    if op.get_context().as_sql:
        return
    connection = op.get_bind()
    for key, payload in connection.execute(sa.select(pending.c.id, pending.c.payload)).all():
        cells, *rest = payload
        moved = [[dimension, hour - old + new, value, figures] for dimension, hour, value, figures in cells]
        connection.execute(sa.update(pending).where(pending.c.id == key).values(payload=[moved, *rest]))


def _amount(name: str, kind: sa.types.TypeEngine[Any] | None = None) -> sa.Column[Any]:
    return sa.Column(name, kind or sa.BigInteger(), server_default=sa.text("0"), nullable=False)
