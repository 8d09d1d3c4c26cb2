"""How a door reaches the Runtime of the app it is serving."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import current_app

from stateful_engine.errors import NotInitializedError

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

EXTENSION_KEY = "stateful_engine"


def find_runtime() -> Runtime | None:
    """This app's Runtime, or None outside an app context or where the engine was not initialised."""
    try:
        # One hop through the proxy instead of two: this stands in front of every tracked view.
        app = current_app._get_current_object()  # type: ignore[attr-defined]
    except RuntimeError:
        return None
    runtime: Runtime | None = app.extensions.get(EXTENSION_KEY)
    return runtime


def current_runtime() -> Runtime:
    """This app's Runtime; raises `NotInitializedError` where there is none."""
    runtime = find_runtime()
    if runtime is not None:
        return runtime
    if not current_app:
        raise NotInitializedError(
            "stateful_engine works inside an application context; wrap the call in `with app.app_context():`"
        )
    raise NotInitializedError(
        f"the app {current_app.name!r} has no stateful_engine; call `StatefulEngine(app)` or `engine.init_app(app)`"
    )
