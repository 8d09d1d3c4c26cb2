"""The system: what waits to be stored, what was refused, and how large the memory is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask.typing import ResponseReturnValue

from stateful_engine.dashboard.rendering import render
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
        sizes=sizes(runtime.database),
        database=runtime.database,
        settings=runtime.settings,
    )
