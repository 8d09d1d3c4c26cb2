"""All tables of ours: importing this module makes `metadata` complete, which migrations and bulk work rely on.

A new table is added here with an import of its module.
"""

from __future__ import annotations

from sqlalchemy import MetaData, Table

from stateful_engine.storage import (
    actions,
    api_keys,
    conversations,
    experiments,
    gpt_queries,
    idempotency,
    interactions,
    journal,
    recommendations,
    rollup_tables,
    scanner,
    signals,
    webhooks,
)
from stateful_engine.storage.base import Base

MODULES = (
    signals,
    gpt_queries,
    interactions,
    conversations,
    recommendations,
    scanner,
    actions,
    journal,
    experiments,
    api_keys,
    idempotency,
    rollup_tables,
    webhooks,
)

metadata: MetaData = Base.metadata


def table(name: str) -> Table:
    """The table of ours with this name; `KeyError` when there is none."""
    return metadata.tables[name]
