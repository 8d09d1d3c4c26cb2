"""The first page: what the signals are worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask.typing import ResponseReturnValue

from stateful_engine.dashboard.rendering import render

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime


def view(runtime: Runtime) -> ResponseReturnValue:
    """The overview of the last days."""
    return render("overview.html", report=runtime.analytics.signals(days=30))
