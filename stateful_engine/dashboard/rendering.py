"""Templates to pages: in the host's Jinja environment, so that it may override them, but with our own rules.

A host may have other delimiters, filters, or no escaping; our templates are read by Jinja's own rules and always
escaped, as much of what they show was written by models and strangers.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import current_app, g, request, url_for
from jinja2 import defaults

from stateful_engine.dashboard import formats
from stateful_engine.domain import clock

if TYPE_CHECKING:
    from flask import Flask
    from jinja2 import Environment

    from stateful_engine.dashboard.blueprint import Dashboard

DOOR_KEY = "stateful_engine_dashboard"
"""Where an app keeps its `Dashboard`: `app.extensions["stateful_engine_dashboard"]`."""

FOLDER = "stateful_engine/"
STATIC = Path(__file__).with_name("static")


def render(template: str, **context: Any) -> str:
    """The page that `templates/stateful_engine/<template>` makes of `context`; needs a request below our prefix.

    Every template has the parts of `macros.html` as `ui` and the module `formats` as `show`.
    """
    dashboard: Dashboard = current_app.extensions[DOOR_KEY]
    env = dashboard.environment
    shown = {
        "ui": env.get_template(f"{FOLDER}macros.html").module,
        "pages": dashboard.pages,
        "here": (request.endpoint or "").rpartition(".")[2],
        "asset": asset,
        "visitor": g.get("_stateful_engine_visitor"),
        "made_at": clock.now(),
        "settings": dashboard.settings,
        "host_token": host_token,
        **context,
    }
    current_app.update_template_context(shown)
    return env.get_template(FOLDER + template).render(shown)


def environment_of(app: Flask) -> Environment:
    """The host's environment read by Jinja's own rules, with `show` for our templates."""
    env = app.jinja_env.overlay(
        block_start_string=defaults.BLOCK_START_STRING,
        block_end_string=defaults.BLOCK_END_STRING,
        variable_start_string=defaults.VARIABLE_START_STRING,
        variable_end_string=defaults.VARIABLE_END_STRING,
        comment_start_string=defaults.COMMENT_START_STRING,
        comment_end_string=defaults.COMMENT_END_STRING,
        line_statement_prefix=None,
        line_comment_prefix=None,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=None,
        autoescape=True,
    )
    env.globals = {**env.globals, "show": formats}
    return env


def host_token() -> tuple[str, str] | None:
    """Name and value of the field by which the host's `CSRFProtect` knows a form; None where there is no such thing.

    Our forms carry it beside our own, so that they pass the host's protection instead of being taken out of it.
    """
    generate = current_app.jinja_env.globals.get("csrf_token")
    if "csrf" not in current_app.extensions or not callable(generate):
        return None
    return str(current_app.config.get("WTF_CSRF_FIELD_NAME", "csrf_token")), str(generate())


def asset(name: str) -> str:
    """The URL of a static file of ours; it changes with the content, so that browsers may keep the file for good."""
    return url_for(".static", filename=name, v=version_of(name))


@lru_cache(maxsize=64)
def version_of(name: str) -> str:
    """A few digits that stand for the content of a static file."""
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
