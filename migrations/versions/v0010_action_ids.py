"""Actions have an id that is made where they are recorded, and queries are found by their person.

So an action can wait on the disk while the database is away, and is stored once however often it is brought. Actions
from before have none. The index on the large table is made first: until the end, what is locked for longer than an
instant can still be read, and what is recorded meanwhile waits in the spool.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES: tuple[str, ...] = ()
"""The tables that this revision makes: none."""

ACTIONS, QUERIES = "user_actions", "gpt_query_log"
ACTION_INDEX, PERSON_INDEX = "uq_user_actions_action_id", "ix_gpt_query_log_user"


def upgrade() -> None:
    named = sa.text("user_ref IS NOT NULL")
    columns = ["user_ref", "created_at", "id"]
    op.create_index(PERSON_INDEX, QUERIES, columns, postgresql_where=named, sqlite_where=named)
    op.add_column(ACTIONS, sa.Column("action_id", sa.Text()))
    op.create_index(ACTION_INDEX, ACTIONS, ["action_id"], unique=True)


def downgrade() -> None:
    op.drop_index(ACTION_INDEX, ACTIONS)
    op.drop_column(ACTIONS, "action_id")
    op.drop_index(PERSON_INDEX, QUERIES)
