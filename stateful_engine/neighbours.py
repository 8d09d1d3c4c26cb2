"""Gets along with what else lives in the host: its CSRF protection, its blueprints and its URLs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from stateful_engine.errors import ConfigurationError

if TYPE_CHECKING:
    from flask import Blueprint, Flask

_VARIABLE = re.compile(r"<[^>]*>")


def exempt_from_csrf(app: Flask, blueprint: Blueprint) -> None:
    """Take our JSON routes out of the host's `CSRFProtect`, when it was initialised before us.

    They need no form token: they read no cookie and insist on a JSON content type, which a foreign page cannot send
    without a preflight.
    """
    protection = app.extensions.get("csrf")
    exempt = getattr(protection, "exempt", None)
    if callable(exempt):
        exempt(blueprint)


def refuse_collisions(
    app: Flask, name: str, prefix: str, routes: Iterable[tuple[str, str]], *, setting: str = "STATEFUL_URL_PREFIX"
) -> None:
    """Raise `ConfigurationError` where the host has our blueprint's name or one of our URLs already.

    `routes` are methods and paths below `prefix`, which `setting` moves.
    """
    if name in app.blueprints:
        raise ConfigurationError(
            f"the app {app.name!r} has a blueprint called {name!r} already; rename that blueprint, or register "
            "stateful_engine only once"
        )
    taken = {
        (method, _shape(rule.rule)): rule.endpoint for rule in app.url_map.iter_rules() for method in rule.methods or ()
    }
    for method, path in routes:
        endpoint = taken.get((method, _shape(prefix + path)))
        if endpoint is not None:
            raise ConfigurationError(
                f"the app {app.name!r} answers {method} {prefix + path} by {endpoint!r} already; move that view, or "
                f"set {setting} to another path"
            )


def _shape(rule: str) -> str:
    """A URL rule without the names and converters of its variables."""
    return _VARIABLE.sub("<>", rule).rstrip("/")
