"""The system: what waits to be stored, what was refused, and how large the memory is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask.typing import ResponseReturnValue

from stateful_engine.dashboard.rendering import render
from stateful_engine.errors import StatefulEngineError
from stateful_engine.recording.rejects import Rejects
from stateful_engine.services.system import sizes

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime


MOST_REJECTS = 1000
"""So many refused records are read for their reasons; each line holds a whole record."""


def view(runtime: Runtime) -> ResponseReturnValue:
    """The spool, the writer, the stream and the database, as they are now."""
    return render(
        "system.html",
        status=runtime.recorder.status(),
        reasons=Rejects(runtime.settings.spool_dir).reasons(MOST_REJECTS),
        most_rejects=MOST_REJECTS,
        events={name: count for name, count in runtime.guard.snapshot().items() if count},
        **_database(runtime),
        database=runtime.database,
        settings=runtime.settings,
    )


def _database(runtime: Runtime) -> dict[str, Any]:
    """How large the database is, or why it cannot say: this page is looked at most when the database is away."""
    try:
        return {"sizes": sizes(runtime.database), "away": None}
    except StatefulEngineError as error:
        return {"sizes": None, "away": error.message}
