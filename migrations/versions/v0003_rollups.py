"""Pre-aggregates of the analytics."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES: tuple[str, ...] = (
    "rollup_marks",
    "rollup_signals",
    "rollup_queries",
    "rollup_interactions",
    "rollup_members",
    "rollup_sets",
    "rollup_pending",
    "signal_funnel",
)
"""The tables that this revision makes; one that is there already is taken for the host's and refused."""

SIGNALS = (
    *("total", "executed", "win", "loss", "breakeven", "unfilled", "ambiguous_win", "ambiguous_loss"),
    *("confidence_n", "confidence", "pnl_n", "pnl", "pnl_gain", "pnl_square_high", "pnl_square_low"),
    *("r_n", "r", "r_gain", "r_square_high", "r_square_low"),
)
QUERIES = (
    *("total", "successful", "latency_n", "latency", "tokens_n", "tokens", "prompt_tokens", "completion_tokens"),
    *("cost_n", "cost"),
)
ROOMY = ("rollup_signals", "rollup_queries", "rollup_interactions", "rollup_sets", "signal_funnel")
"""Tables whose rows are changed over and over: pages with room to spare keep the new versions beside the old."""


def upgrade() -> None:
    op.create_table(
        "rollup_marks",
        _text("name"),
        *_counts("changes", "sealed_hour", "sealed_day", "sealed_month", "forgotten"),
        sa.PrimaryKeyConstraint("name", name="pk_rollup_marks"),
    )
    _cells("rollup_signals", SIGNALS)
    _cells("rollup_queries", QUERIES)
    _cells("rollup_interactions", ("total",))
    _sets()
    op.create_table(
        "rollup_pending",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        _text("name"),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rollup_pending"),
    )
    _funnel()
    if op.get_context().dialect.name == "postgresql":
        for table in ROOMY:
            op.execute(f'ALTER TABLE "{table}" SET (fillfactor = 70)')


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)


def _cells(table: str, measures: tuple[str, ...]) -> None:
    op.create_table(
        table,
        _text("dimension"),
        sa.Column("period", sa.Integer(), nullable=False),
        _text("value"),
        *_counts(*measures),
        sa.PrimaryKeyConstraint("dimension", "period", "value", name=f"pk_{table}"),
    )


def _sets() -> None:
    op.create_table(
        "rollup_members",
        _text("kind"),
        _text("value"),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "value", name="pk_rollup_members"),
        sa.UniqueConstraint("kind", "number", name="uq_rollup_members_kind_number"),
    )
    op.create_table(
        "rollup_sets",
        _text("kind"),
        sa.Column("period", sa.Integer(), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("bits", sa.LargeBinary().with_variant(postgresql.BIT(2048), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("kind", "period", "chunk", name="pk_rollup_sets"),
    )


def _funnel() -> None:
    op.create_table(
        "signal_funnel",
        _text("signal_id"),
        _text("user_id"),
        sa.Column("seen_at", sa.BigInteger()),
        sa.Column("seen_source", sa.Text()),
        sa.Column("executed_at", sa.BigInteger()),
        sa.Column("executed_source", sa.Text()),
        sa.PrimaryKeyConstraint("signal_id", "user_id", name="pk_signal_funnel"),
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False) for name in names]
