"""The JSON door of an app: one flat blueprint whose routes are the operations of the registry.

Errors are answered here and nowhere else in the host: our own exceptions by their base class, those of Werkzeug by
their code (a handler by class would lose to a host's handler by code), unknown paths by a catch-all below the prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import Blueprint, current_app, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from stateful_engine.access import is_open
from stateful_engine.api import click_links, envelope, mcp
from stateful_engine.api.bodies import read_object
from stateful_engine.api.contract import DOOR_KEY, Call, Nothing, Operation
from stateful_engine.api.cors import allow_origins
from stateful_engine.api.door import Door
from stateful_engine.api.failures import (
    EndpointNotFoundError,
    MethodNotAllowedError,
    from_http,
    headers_of,
)
from stateful_engine.api.operations import OPERATIONS, available_endpoints, methods_at
from stateful_engine.api.performing import perform, refuse_writes_when_disabled
from stateful_engine.api.validation import check_body, check_query, refuse
from stateful_engine.errors import Fault, StatefulEngineError
from stateful_engine.globals import current_runtime
from stateful_engine.logging import logger
from stateful_engine.neighbours import exempt_from_csrf, refuse_collisions
from stateful_engine.request_info import RequestInfo

if TYPE_CHECKING:
    from flask import Flask, Response

    from stateful_engine.access import Principal
    from stateful_engine.config import Settings
    from stateful_engine.extension import Runtime

NAME = "stateful_engine"
HTTP_ERRORS = (400, 401, 403, 404, 405, 408, 411, 413, 415, 422, 429, 500, 503)
ALL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY")


def register(app: Flask, runtime: Runtime) -> None:
    """Give `app` our routes; raises `ConfigurationError` when the app uses their names or URLs already."""
    settings = runtime.settings
    routes = [("POST", mcp.PATH), ("GET", click_links.RULE)]
    routes += [(operation.method, operation.path) for operation in OPERATIONS]
    refuse_collisions(app, NAME, settings.url_prefix, routes)
    blueprint = build_blueprint(settings)
    allow_origins(blueprint, settings)
    app.register_blueprint(blueprint)
    exempt_from_csrf(app, blueprint)
    app.extensions[DOOR_KEY] = Door(app, runtime, OPERATIONS)
    _say_how_to_get_in(app, settings)


def _say_how_to_get_in(app: Flask, settings: Settings) -> None:
    if not callable(settings.auth) and not is_open(settings, app):
        logger.info(
            "the API below %s asks for a key; create one with `flask stateful keys create NAME`", settings.url_prefix
        )


def build_blueprint(settings: Settings) -> Blueprint:
    """A fresh blueprint for one app, under the prefix of its settings."""
    blueprint = Blueprint(NAME, __name__, url_prefix=settings.url_prefix)
    for operation in OPERATIONS:
        blueprint.add_url_rule(
            operation.path,
            operation.name,
            _view(operation),
            methods=[operation.method],
            provide_automatic_options=False,
        )
    click_links.add_to(blueprint)
    blueprint.add_url_rule(mcp.PATH, "mcp", _mcp, methods=ALL_METHODS, provide_automatic_options=False)
    for rule in ("", "/", "/<path:rest>"):
        blueprint.add_url_rule(rule, "unknown", _unknown, methods=ALL_METHODS, provide_automatic_options=False)
    blueprint.register_error_handler(StatefulEngineError, _answer_error)
    for code in HTTP_ERRORS:
        blueprint.register_error_handler(code, _answer_http_error)
    return blueprint


def _view(operation: Operation) -> Callable[..., Response]:
    def view(**path: str) -> Response:
        return answer(current_runtime(), operation, path)

    view.__name__ = operation.name
    return view


def answer(runtime: Runtime, operation: Operation, path: Mapping[str, str]) -> Response:
    """Let the caller in, read the request, do it, and put the result into the envelope."""
    envelope.timing()
    door: Door = current_app.extensions[DOOR_KEY]
    principal = door.admit(request, operation.scope) if operation.scope else door.greet(request)
    refuse_writes_when_disabled(runtime, operation)
    return envelope.success(perform(runtime, operation, _read(runtime, operation, path, principal)))


def _read(runtime: Runtime, operation: Operation, path: Mapping[str, str], principal: Principal) -> Call[Any, Any]:
    """The checked request; raises with every fault of its query string and body at once."""
    query, faults = check_query(operation.query_model, request.args)
    raw: dict[str, Any] = {}
    body: Any = Nothing()
    if operation.body_model is not None:
        raw, infinite = read_object(request, most=runtime.settings.max_body_bytes, missing_code=operation.missing_code)
        body, wrong = check_body(operation.body_model, raw)
        more = operation.check_body(raw) if operation.check_body else ()
        faults = [*faults, *infinite, *wrong, *more]
    refuse(faults, missing_code=operation.missing_code)
    info = RequestInfo.from_request(request, runtime.settings)
    return Call(path, query, body, raw, info, principal)


def _mcp() -> Response:
    door: Door = current_app.extensions[DOOR_KEY]
    return door.mcp.respond(door)


def _unknown(rest: str = "") -> ResponseReturnValue:
    """What no operation answers: preflights, wrong methods, and paths that do not exist."""
    methods = methods_at(f"/{rest}")
    if request.method == "OPTIONS":
        return "", 204, {"Allow": ", ".join([*methods, "OPTIONS"])}
    runtime = current_runtime()
    envelope.timing()
    door: Door = current_app.extensions[DOOR_KEY]
    door.admit(request, None)
    if methods:
        raise MethodNotAllowedError(request.method, [*methods, "OPTIONS"])
    raise EndpointNotFoundError(available_endpoints(runtime.settings.url_prefix))


def _answer_error(error: StatefulEngineError) -> Response:
    if request.method in {"GET", "HEAD"}:
        error.errors = tuple(_in_query(fault) for fault in error.errors)
    return envelope.failure(error, more=getattr(error, "members", None), headers=headers_of(error))


def _in_query(fault: Fault) -> Fault:
    """A fault that a service found in a value of the query string, with the pointer of the query string."""
    return fault if fault.pointer.startswith("/query/") else replace(fault, pointer=f"/query{fault.pointer}")


def _answer_http_error(error: HTTPException) -> Response:
    """What Werkzeug or a hook of the host raised, in our form; a response that the host chose itself stays."""
    if error.response is not None:
        return error.get_response()  # type: ignore[return-value]
    return _answer_error(from_http(error))
