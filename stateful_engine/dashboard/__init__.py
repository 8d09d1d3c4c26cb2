"""Door for people: the pages below `STATEFUL_DASHBOARD_PREFIX`."""

from __future__ import annotations

from stateful_engine.dashboard.blueprint import register
from stateful_engine.dashboard.report import report

COMMANDS = (report,)
"""What operators get at the command line, whether the pages are on or off."""

__all__ = ["COMMANDS", "register"]
