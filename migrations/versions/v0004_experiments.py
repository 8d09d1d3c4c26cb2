"""Experiments, their assignments and the snapshots of their results; queries are stamped with their experiment."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES: tuple[str, ...] = ("ab_test_experiments", "ab_test_assignments", "ab_test_snapshots")
"""The tables that this revision makes; one that is there already is taken for the host's and refused."""

STAMPED = ("signal_history", "gpt_query_log")


def upgrade() -> None:
    _experiments()
    _assignments()
    _snapshots()
    for name in ("experiment", "variant"):
        op.add_column("gpt_query_log", sa.Column(name, sa.Text()))
    condition = sa.text("experiment IS NOT NULL")
    for table in STAMPED:
        op.create_index(
            f"ix_{table}_experiment",
            table,
            ["experiment", "id"],
            postgresql_where=condition,
            sqlite_where=condition,
        )


def downgrade() -> None:
    for table in STAMPED:
        op.drop_index(f"ix_{table}_experiment", table)
    for name in ("variant", "experiment"):
        op.drop_column("gpt_query_log", name)
    for table in reversed(TABLES):
        op.drop_table(table)


def _experiments() -> None:
    op.create_table(
        "ab_test_experiments",
        _id(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("variant_a", sa.JSON()),
        sa.Column("variant_b", sa.JSON()),
        sa.Column("weight_a", sa.Double(), server_default="0.5", nullable=False),
        sa.Column("coverage", sa.Double(), server_default="1.0", nullable=False),
        sa.Column("salt", sa.Text()),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("layer", sa.JSON()),
        sa.Column("design", sa.Text(), nullable=False),
        sa.Column("primary_metric", sa.Text(), nullable=False),
        sa.Column("settings", sa.JSON()),
        sa.Column("horizon_seconds", sa.BigInteger(), nullable=False),
        sa.Column("planned_n", sa.BigInteger()),
        _time("created_at", nullable=False),
        _time("started_at"),
        _time("ended_at"),
        sa.Column("active", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("paused", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("winner", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_ab_test_experiments"),
        sa.UniqueConstraint("name", name="uq_ab_test_experiments_name"),
    )


def _assignments() -> None:
    table = "ab_test_assignments"
    op.create_table(
        table,
        _id(),
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        _time("assigned_at", nullable=False),
        _time("first_exposed_at"),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.UniqueConstraint("experiment_id", "user_id", name=f"uq_{table}_experiment_id_user_id"),
        _of_experiment(table),
        sa.CheckConstraint("variant IN ('A', 'B')", name=op.f(f"ck_{table}_variant")),
    )


def _snapshots() -> None:
    table = "ab_test_snapshots"
    op.create_table(
        table,
        _id(),
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        _time("taken_at", nullable=False),
        sa.Column("results", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        _of_experiment(table),
    )
    op.create_index(f"ix_{table}_experiment_id_id", table, ["experiment_id", "id"])


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)


def _time(name: str, *, nullable: bool = True) -> sa.Column[sa.DateTime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _of_experiment(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["experiment_id"], ["ab_test_experiments.id"], name=f"fk_{table}_experiment_id", ondelete="CASCADE"
    )
