"""Lets browsers of the configured origins read our routes, and only ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_cors import CORS

if TYPE_CHECKING:
    from flask import Blueprint

    from stateful_engine.config import Settings

EXPOSED = (
    "X-Signal-ID",
    "X-Query-ID",
    "X-Request-ID",
    "Retry-After",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "WWW-Authenticate",
)
ACCEPTED = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "X-API-Key",
    "X-Request-ID",
    "traceparent",
    "MCP-Protocol-Version",
    "Mcp-Method",
    "Mcp-Name",
)
ONE_HOUR = 3600


def allow_origins(blueprint: Blueprint, settings: Settings) -> None:
    """Answer cross-origin requests below our prefix for `STATEFUL_CORS_ORIGINS`; other paths are left to the host.

    On the blueprint and not on the app, whose every request would pay for it; the blueprint answers whatever lies below
    its prefix, also what does not exist there, and before a blanket `CORS(app)` of the host.

    Every option is given, so that the `CORS_*` settings of the host do not widen ours. Credentials are never allowed:
    keys travel in headers, not in cookies.
    """
    if not settings.cors_origins:
        return
    CORS(
        blueprint,
        origins=list(settings.cors_origins),
        methods=["GET", "POST", "PATCH", "OPTIONS"],
        allow_headers=list(ACCEPTED),
        expose_headers=list(EXPOSED),
        supports_credentials=False,
        send_wildcard=False,
        always_send=False,
        vary_header=True,
        allow_private_network=False,
        max_age=ONE_HOUR,
        intercept_exceptions=False,
    )
