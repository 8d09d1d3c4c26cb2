"""Bodies of a shape that only the host knows: dotted paths say where the fields are."""

from __future__ import annotations

from collections.abc import Mapping

from stateful_engine.domain.advice import own_action
from stateful_engine.domain.containers import MAX_SIGNALS, Locator
from stateful_engine.domain.scopes import Scope
from stateful_engine.domain.spellings import Shape, shape_of

_LISTING = "signals"


def value_at(body: object, path: str) -> object:
    """Follow a dotted path (`payload.targets.0.price`) through objects and lists; None when it leads nowhere."""
    for step in path.split("."):
        if isinstance(body, Mapping):
            body = body.get(step)
        elif isinstance(body, (list, tuple)) and step.isdecimal() and len(step) < 6 and int(step) < len(body):
            body = body[int(step)]
        else:
            return None
    return body


def locate_mapped(locator: Locator, body: object, mapping: Mapping[str, str]) -> None:
    """Locate signals with the host's paths; without a path for the action or the list, they only correct fields."""
    if _LISTING not in mapping and "action" not in mapping:
        locator.locate(body)
        for candidate in locator.candidates:
            _overlay(candidate, body, mapping)
        return
    root = Scope(body if isinstance(body, dict) else {})
    if locator.refuses(root):
        return
    listed = value_at(body, mapping[_LISTING]) if _LISTING in mapping else body
    items = listed[:MAX_SIGNALS] if isinstance(listed, (list, tuple)) else None
    for index, item in enumerate([listed] if items is None else items):
        if isinstance(item, dict):
            step = () if items is None else (*mapping.get(_LISTING, "").split("."), index)
            scope = Scope(item, None if item is body else root, step=step, is_item=items is not None, is_named=True)
            _overlay(scope, body, mapping)
            _take(locator, scope)


def _overlay(scope: Scope, body: object, mapping: Mapping[str, str]) -> None:
    """Put the mapped values over what was read; a path that leads nowhere in an item is tried from the body's root."""
    told: dict[object, object] = {}
    for name, path in mapping.items():
        value = value_at(scope.fields, path)
        told[name] = value if value is not None else value_at(body, path)
    told = {name: value for name, value in told.items() if value is not None and name != _LISTING}
    scope.shape = Shape({**scope.shape, **shape_of(told)})
    scope.fields = {**scope.fields, **told}


def _take(locator: Locator, scope: Scope) -> None:
    key, reason = own_action(scope)
    if key is None:
        locator.note(scope.path, reason)
        return
    locator.take(scope)
