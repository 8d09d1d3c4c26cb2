"""The last 30 days of signals are kept added up, and cut in two where most windows begin.

It is written down of which moment they are, and which hour is cut. They are made at the beginning of the next hour in
which something is written; until then, and after an earlier version has written, reports are read from other periods.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES: tuple[str, ...] = ()
"""The tables that this revision makes: none."""

NAMES = ("month_at", "cut_hour")
MONTH_AND_CUTS = 600_000_000
"""Where the numbers of the month and of cuts begin; those of all other periods are lower."""


def upgrade() -> None:
    for name in NAMES:
        op.add_column("rollup_marks", sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    op.execute(f"DELETE FROM rollup_signals WHERE period >= {MONTH_AND_CUTS}")
    for name in NAMES:
        op.drop_column("rollup_marks", name)
