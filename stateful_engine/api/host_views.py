"""The host's tracked views as part of an OpenAPI document, so that one custom GPT can ask for signals and follow them.

What a view takes and answers is known to its developer only: the path and the first line of the docstring are read,
everything else can be given as members of the OpenAPI operation.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stateful_engine.api.actions_lint import MAX_SUMMARY
from stateful_engine.errors import ConfigurationError

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.routing import Rule

Views = bool | Collection[str] | Mapping[str, Mapping[str, Any]]
"""True for every tracked view, names of endpoints, or names with members of their OpenAPI operations."""

TRACKED = "__stateful_tracked__"
OFFERED_METHODS = ("GET", "POST")
_VARIABLE = re.compile(r"<(?:[^:>]*:)?([^>]*)>")
_ANSWER = {
    "type": "object",
    "properties": {"signal_id": {"type": "string", "description": "Names the recorded signal."}},
    "additionalProperties": True,
}


def view_paths(app: Flask, views: Views) -> dict[str, Any]:
    """Path items for the wanted views; raises `ConfigurationError` for a name that is no tracked view."""
    tracked = {rule.endpoint for rule in app.url_map.iter_rules() if _is_tracked(app, rule)}
    wanted = tracked if views is True else set(views or ())
    unknown = sorted(wanted - tracked)
    if unknown:
        raise ConfigurationError(f"{unknown[0]!r} is no tracked view of this app; tracked are {sorted(tracked)}")
    more: Mapping[str, Mapping[str, Any]] = views if isinstance(views, Mapping) else {}
    paths: dict[str, Any] = {}
    for rule in app.url_map.iter_rules():
        if rule.endpoint in wanted:
            item = paths.setdefault(_VARIABLE.sub(r"{\1}", rule.rule), {})
            item.update(_operations(app, rule, more.get(rule.endpoint, {})))
    return paths


def _is_tracked(app: Flask, rule: Rule) -> bool:
    return bool(getattr(app.view_functions.get(rule.endpoint), TRACKED, False))


def _operations(app: Flask, rule: Rule, more: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    offered = [method for method in OFFERED_METHODS if method in (rule.methods or ())]
    for method in offered:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", rule.endpoint)
        name = name if len(offered) == 1 else f"{name}_{method.lower()}"
        yield method.lower(), {**_operation(app, rule, method, name), **more}


def _operation(app: Flask, rule: Rule, method: str, name: str) -> dict[str, Any]:
    text = inspect.getdoc(app.view_functions[rule.endpoint]) or f"Ask {rule.rule}"
    operation: dict[str, Any] = {
        "operationId": name[:64],
        "summary": text.strip().splitlines()[0][:MAX_SUMMARY],
        "parameters": [_parameter(argument) for argument in sorted(rule.arguments)],
        "responses": {"200": {"description": "The answer.", "content": {"application/json": {"schema": _ANSWER}}}},
        "x-openai-isConsequential": False,
    }
    if method == "POST":
        schema = {"type": "object", "properties": {}, "additionalProperties": True}
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return operation


def _parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": name, "schema": {"type": "string"}}
