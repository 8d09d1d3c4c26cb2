"""Coarse periods of pre-aggregates are kept while they are in progress, instead of when they are over.

What is kept of coarse periods goes; it is made anew on the next write. Until then reports are read from hours. The
column that says up to when they are kept gets another name, so that a version which keeps them otherwise does not write
beside this one: its records wait in their spool until it is restarted.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES: tuple[str, ...] = ()
"""The tables that this revision makes: none."""

CELLS = {
    "signal_history": "rollup_signals",
    "gpt_query_log": "rollup_queries",
    "user_interaction": "rollup_interactions",
}
COARSE_CELLS = 200_000_000
COARSE_SETS = 100_000_000
"""Where the numbers of coarse periods begin; those of hours, and of the five minutes of sets, are lower."""


def upgrade() -> None:
    _forget_coarse_periods()
    op.execute("ALTER TABLE rollup_marks RENAME COLUMN sealed TO sealed_until")


def downgrade() -> None:
    op.execute("ALTER TABLE rollup_marks RENAME COLUMN sealed_until TO sealed")
    _forget_coarse_periods()


def _forget_coarse_periods() -> None:
    for name, table in CELLS.items():
        op.execute(f"DELETE FROM {table} WHERE period >= {COARSE_CELLS}")
        op.execute(f"UPDATE rollup_marks SET sealed = 0 WHERE name = '{name}'")
    op.execute(f"DELETE FROM rollup_sets WHERE period >= {COARSE_SETS}")
