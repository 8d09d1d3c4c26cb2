"""Door for people: the pages below `STATEFUL_DASHBOARD_PREFIX`."""

from __future__ import annotations

from stateful_engine.dashboard.blueprint import register

__all__ = ["register"]
