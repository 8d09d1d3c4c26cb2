"""How far the signals of whole days came, kept so that a report need not follow them one by one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES: tuple[str, ...] = ("rollup_funnel",)
"""The tables that this revision makes; one that is there already is taken for the host's and refused."""


def upgrade() -> None:
    op.create_table(
        "rollup_funnel",
        sa.Column("day", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("kind", "source", "step", "bin")),
        sa.Column("total", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("microseconds", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("day", "kind", "source", "step", "bin", name="pk_rollup_funnel"),
    )


def downgrade() -> None:
    op.execute("DELETE FROM rollup_marks WHERE name = 'signal_funnel'")
    op.drop_table("rollup_funnel")
