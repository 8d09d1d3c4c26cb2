"""The one registry of what the API does: routes, documents, tools and `available_endpoints` are all made from it."""

from __future__ import annotations

import re
from functools import cache

from stateful_engine.api import analytics, health, interactions, maintenance, queries, signals
from stateful_engine.api.contract import Operation

OPERATIONS: tuple[Operation, ...] = (
    *signals.OPERATIONS,
    *queries.OPERATIONS,
    *interactions.OPERATIONS,
    *analytics.OPERATIONS,
    *maintenance.OPERATIONS,
    *health.OPERATIONS,
)

_VARIABLE = re.compile(r"<(?:[^:>]*:)?([^>]*)>")


def braced(path: str) -> str:
    """A path as documents write it: `/signal/{signal_id}`."""
    return _VARIABLE.sub(r"{\1}", path)


def available_endpoints(prefix: str) -> list[str]:
    """Every operation as `METHOD path`."""
    return [f"{operation.method} {prefix}{braced(operation.path)}" for operation in OPERATIONS]


def methods_at(path: str) -> list[str]:
    """The methods that a path below the prefix answers to; none for a path that does not exist."""
    methods = {operation.method for operation in OPERATIONS if _pattern(operation.path).fullmatch(path)}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


@cache
def _pattern(path: str) -> re.Pattern[str]:
    literal = [re.escape(part) for part in re.split(r"<[^>]*>", path)]
    return re.compile("[^/]+".join(literal))
