"""What this door offers to the rest of the app beside its routes; other doors reach it by the app, never by import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stateful_engine.api.actions_lint import Problem, lint
from stateful_engine.api.auth import Principal, authenticate, authorize, is_open
from stateful_engine.api.host_views import Views, view_paths
from stateful_engine.api.openapi import Document, actions_document, full_document
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.errors import ConfigurationError

if TYPE_CHECKING:
    from flask import Flask, Request

    from stateful_engine.api.contract import Operation
    from stateful_engine.extension import Runtime

DOOR_KEY = "stateful_engine_api"


class Door:
    """The JSON door of one app: `app.extensions["stateful_engine_api"]`."""

    def __init__(self, app: Flask, runtime: Runtime, operations: tuple[Operation, ...]) -> None:
        self._app = app
        self._runtime = runtime
        self._operations = operations

    def openapi(self, profile: str = "full", *, server: str | None = None, include_views: Views = False) -> Document:
        """The OpenAPI document `full` or `actions`, with the host's tracked views when `include_views` names them.

        `server` is used where `STATEFUL_PUBLIC_URL` is not set; the profile `actions` needs one of them.
        """
        settings = self._runtime.settings
        address = settings.public_url or server
        if profile == "actions" and address is None:
            raise ConfigurationError("ChatGPT needs an address; set STATEFUL_PUBLIC_URL to the https one of this app")
        make = actions_document if profile == "actions" else full_document
        document = make(
            self._operations,
            prefix=settings.url_prefix,
            server=address or "/",
            secured=not is_open(settings, self._app),
        )
        return {**document, "paths": {**document["paths"], **view_paths(self._app, include_views)}}

    def lint(self, document: Any) -> list[Problem]:
        """Why ChatGPT would not import `document`, ours or any other."""
        return lint(document)

    def admit(self, request: Request, scope: Scope) -> Principal:
        """The caller of a request to another door; raises what a route here would raise."""
        principal = authenticate(self._runtime, request)
        authorize(principal, scope)
        return principal
