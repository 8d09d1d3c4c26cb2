"""What this door offers to the rest of the app beside its routes; other doors reach it by the app, never by import."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from stateful_engine.access import NOBODY, Principal, authenticate, authorize, is_open
from stateful_engine.api import envelope
from stateful_engine.api.actions_lint import Problem, lint
from stateful_engine.api.host_views import Views, view_paths
from stateful_engine.api.mcp import Mcp
from stateful_engine.api.metrics import Metrics
from stateful_engine.api.openapi import Document, actions_document, full_document
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.errors import AuthenticationError, ConfigurationError, RateLimitError, StorageUnavailableError
from stateful_engine.services.api_keys import ApiKeys
from stateful_engine.services.idempotency import Idempotency

if TYPE_CHECKING:
    from flask import Flask, Request

    from stateful_engine.api.contract import Operation
    from stateful_engine.api.limits import Limiter
    from stateful_engine.extension import Runtime


class Door:
    """The JSON door of one app: `app.extensions["stateful_engine_api"]`."""

    def __init__(self, app: Flask, runtime: Runtime, operations: tuple[Operation, ...]) -> None:
        self._app = app
        self._runtime = runtime
        self._operations = operations
        self._limiter: Limiter | None = None
        self._lock = threading.Lock()
        self.metrics = Metrics(runtime)
        self.mcp = Mcp(app, runtime, operations)
        self.keys = ApiKeys(runtime.database)
        self.idempotency = Idempotency(runtime.database)

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

    def admit(self, request: Request, scope: Scope | None) -> Principal:
        """The caller of a request, who may use `scope` (None: who is let in at all); counts the call.

        Raises what a route here answers: `AuthenticationError`, `PermissionDeniedError`, `RateLimitError`.
        """
        try:
            principal = authenticate(self._runtime.settings, self.keys, request)
        except AuthenticationError:
            self.count(request, NOBODY)
            raise
        self.count(request, principal)
        authorize(principal, scope)
        return principal

    def greet(self, request: Request) -> Principal:
        """The caller of a request that everybody may make, and as often as they like."""
        try:
            return authenticate(self._runtime.settings, self.keys, request)
        except (AuthenticationError, StorageUnavailableError):
            return NOBODY

    def welcome(self, request: Request) -> bool:
        """Whether a visitor without a key is still within the limit; counts the call."""
        try:
            self.count(request, NOBODY)
        except RateLimitError:
            return False
        return True

    def count(self, request: Request, principal: Principal) -> None:
        """Count one call; the default limit rests while the app is tested, a limit that was set never does."""
        if self._app.testing and "STATEFUL_RATE_LIMIT" not in self._app.config:
            return
        allowance = self._counter().count(request, principal)
        if allowance is not None:
            envelope.timing().headers.update(allowance.headers)

    def _counter(self) -> Limiter:
        """What counts calls; loaded by the first one, since many hosts only record."""
        with self._lock:
            if self._limiter is None:
                from stateful_engine.api.limits import Limiter

                self._limiter = Limiter(self._runtime.settings)
            return self._limiter
