"""Tracking views that must not be edited: they are wrapped where Flask keeps them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from stateful_engine.errors import ConfigurationError, NotInitializedError
from stateful_engine.globals import EXTENSION_KEY
from stateful_engine.tracking.decorators import is_tracked, track_signal_generation

if TYPE_CHECKING:
    from flask import Flask


def instrument(app: Flask, views: Iterable[str] | Mapping[str, Mapping[str, Any]], **options: Any) -> list[str]:
    """Track the endpoints `views` of `app` (`["signals.latest", …]`), with the options of `track_signal_generation`.

    As a mapping, `views` gives options of its own to each endpoint, which win over `options`. A view that is tracked
    already stays as it is; with `STATEFUL_ENABLED` off all do. Returns the endpoints that are tracked now. Unknown
    endpoints raise `ConfigurationError` before anything is wrapped, so call this after the views are registered.
    """
    if isinstance(views, str):
        views = [views]
    wanted = {name: {**options, **(views[name] if isinstance(views, Mapping) else {})} for name in views}
    _refuse_unknown(app, wanted)
    if not _enabled(app):
        return []
    registered: dict[str, Any] = app.view_functions
    decorators = {name: track_signal_generation(**given) for name, given in wanted.items()}
    for name, decorator in decorators.items():
        if not is_tracked(registered[name]):
            registered[name] = decorator(registered[name])
    return list(wanted)


def _enabled(app: Flask) -> bool:
    runtime = app.extensions.get(EXTENSION_KEY)
    if runtime is None:
        raise NotInitializedError(
            f"the app {app.name!r} has no stateful_engine; call `engine.init_app(app)` before `instrument(app, …)`"
        )
    return bool(runtime.settings.enabled)


def _refuse_unknown(app: Flask, names: Iterable[str]) -> None:
    unknown = [name for name in names if name not in app.view_functions]
    if not unknown:
        return
    nearest = difflib.get_close_matches(unknown[0], app.view_functions, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else "`flask routes` lists the endpoints"
    raise ConfigurationError(
        f"the app {app.name!r} has no endpoint {unknown[0]!r} to instrument; register the views first; {hint}"
    )
