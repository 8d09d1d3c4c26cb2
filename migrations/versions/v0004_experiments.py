"""Experiments and their assignments."""

from __future__ import annotations

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES: tuple[str, ...] = ()
"""The tables that this revision makes; one that is there already is taken for the host's and refused."""


def upgrade() -> None:
    return None


def downgrade() -> None:
    return None
