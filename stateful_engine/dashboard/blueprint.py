"""The pages of an app: one flat blueprint whose routes are those of `PAGES`, and a form to sign in.

Nothing that happens below the prefix reaches the host: what a view raises becomes a page of ours, errors of Werkzeug
are taken by their code, and unknown paths by a catch-all.
"""

from __future__ import annotations

from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, make_response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from stateful_engine.dashboard import entrance
from stateful_engine.dashboard.pages import PAGES, Page, View
from stateful_engine.dashboard.rendering import DOOR_KEY, STATIC, environment_of, render, version_of
from stateful_engine.dashboard.sessions import Sessions
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.errors import ConfigurationError, StatefulEngineError
from stateful_engine.globals import current_runtime
from stateful_engine.logging import logger
from stateful_engine.neighbours import refuse_collisions
from stateful_engine.services.api_keys import ApiKeys
from stateful_engine.storage.time_limits import reads_within

if TYPE_CHECKING:
    from flask import Flask, Response
    from flask.typing import ResponseReturnValue
    from jinja2 import Environment

    from stateful_engine.config import Settings
    from stateful_engine.extension import Runtime

NAME = "stateful_engine_dashboard"
SETTING = "STATEFUL_DASHBOARD"
HTTP_ERRORS = (400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 422, 429, 431, 500, 501, 502, 503, 504)
ALL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY")

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # A host's CSRF protection may insist on a referrer for forms, so our own pages are told it.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
CHALLENGE = 'Bearer realm="stateful_engine"'
RETRY_AFTER = 5
WORDS = {
    400: "The request could not be read; go back and try again.",
    401: "This app did not let you in; sign in as its developer told you.",
    403: "This app does not allow that; ask its developer for access.",
    404: "There is no such page; the navigation leads to those that exist.",
    405: "This page cannot be called in this way; follow the links to it.",
    413: "That was larger than this app accepts; send less at a time.",
    429: "Too many requests; wait a moment and try again.",
    500: "Something went wrong here and was logged; tell the developer of this app.",
    503: "This app cannot answer now; try again in a moment.",
}
_STATUSES = frozenset(int(status) for status in HTTPStatus)
KEPT_FOR_GOOD = "public, max-age=31536000, immutable"


class Dashboard:
    """The pages of one app: `app.extensions["stateful_engine_dashboard"]`."""

    def __init__(self, app: Flask, runtime: Runtime, pages: tuple[Page, ...] = PAGES) -> None:
        self._app = app
        self.settings = runtime.settings
        self.keys = ApiKeys(runtime.database)
        self.sessions = Sessions(app, runtime.settings)
        self.pages = pages

    @cached_property
    def environment(self) -> Environment:
        """What templates are rendered with; made with the first page, when the host has set up its own."""
        return environment_of(self._app)


def register(app: Flask, runtime: Runtime) -> None:
    """Give `app` our pages; raises `ConfigurationError` when the app uses their names or URLs already.

    Pages that are there only because the app is in debug give way instead, and say so.
    """
    try:
        _refuse_collisions(app, runtime.settings)
    except ConfigurationError as error:
        if SETTING in app.config:
            raise
        logger.warning("the dashboard is left out: %s", error)
        return
    app.extensions[DOOR_KEY] = Dashboard(app, runtime)
    app.register_blueprint(build_blueprint(runtime.settings))


def _refuse_collisions(app: Flask, settings: Settings) -> None:
    routes = [("GET", page.path) for page in PAGES]
    prefix = settings.dashboard_prefix
    refuse_collisions(app, NAME, prefix, [*routes, ("GET", "/login")], setting=f"{SETTING}_PREFIX")


def build_blueprint(settings: Settings) -> Blueprint:
    """A fresh blueprint for one app, under the prefix of its settings."""
    blueprint = Blueprint(
        NAME, __name__, url_prefix=settings.dashboard_prefix, template_folder="templates", static_folder="static"
    )
    for page in PAGES:
        blueprint.add_url_rule(page.path, page.endpoint, _for_visitors(page.view, page.scope))
    blueprint.add_url_rule("/login", "login", _for_everybody(entrance.show_sign_in))
    blueprint.add_url_rule("/login", "sign_in", _for_everybody(entrance.sign_in), methods=["POST"])
    blueprint.add_url_rule("/logout", "sign_out", _for_everybody(entrance.sign_out), methods=["POST"])
    unknown = _for_visitors(_unknown)
    for rule in ("/", "/<path:rest>"):
        blueprint.add_url_rule(rule, "unknown", unknown, methods=ALL_METHODS, provide_automatic_options=False)
    for code in HTTP_ERRORS:
        blueprint.register_error_handler(code, _answer_http_error)
    blueprint.after_request(_add_headers)
    return blueprint


# What every page goes through


def _for_visitors(view: View, scope: Scope = entrance.SCOPE) -> View:
    """A view that answers whoever is let in, within the time that reads may take, and strangers with a form."""

    def admitted(**path: str) -> ResponseReturnValue:
        entrance.admit(scope)
        runtime = current_runtime()
        with reads_within(runtime.settings.read_timeout):
            return view(runtime, **path)

    return _for_everybody(admitted)


def _for_everybody(view: View) -> View:
    """A view whose failures become pages of ours; what we did not expect is counted and logged by the guard."""

    def safe(**path: str) -> ResponseReturnValue:
        guard = current_runtime().guard
        with guard("show_the_dashboard"):
            return _answer(view, path)
        with guard("show_the_dashboard"):
            return _problem(500, "Something went wrong here and was logged; tell the developer of this app.")
        return "The dashboard cannot be shown; what went wrong was logged.", 500

    return safe


def _answer(view: View, path: dict[str, str]) -> ResponseReturnValue:
    try:
        return view(**path)
    except entrance.SignInNeededError as error:
        return entrance.to_sign_in() if request.method in {"GET", "HEAD"} else _answer_error(error)
    except StatefulEngineError as error:
        return _answer_error(error)
    except HTTPException as error:
        return _answer_http_error(error)


def _unknown(_: Runtime, rest: str = "") -> ResponseReturnValue:
    """What no page answers: paths that do not exist, and methods that pages do not take."""
    del rest
    raise NotFound if request.method in {"GET", "HEAD"} else MethodNotAllowed(["GET", "HEAD"])


# What goes wrong


def _answer_error(error: StatefulEngineError) -> Response:
    response = _problem(error.status, error.message)
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(error.retry_after or RETRY_AFTER)
    if error.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = CHALLENGE
    return response


def _answer_http_error(error: HTTPException) -> ResponseReturnValue:
    """What Werkzeug or a hook of the host raised, on a page of ours; a response that the host chose itself stays."""
    if error.response is not None or error.code is None:
        return error.get_response()
    response = _problem(error.code, WORDS.get(error.code, WORDS[500]))
    kept = {"Allow", "Retry-After", "WWW-Authenticate"}
    response.headers.update([header for header in error.get_headers() if header[0] in kept])
    return response


def _problem(status: int, message: str) -> Response:
    """The page that says what went wrong and what to do."""
    title = HTTPStatus(status).phrase if status in _STATUSES else "Error"
    return make_response(render("problem.html", status=status, title=title, message=message), status)


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers[name] = value
    response.headers["Cache-Control"] = _cache_control()
    return response


def _cache_control() -> str:
    """Files of ours are kept for good under the name of their content; pages are kept by nobody."""
    if request.endpoint != f"{NAME}.static":
        return "no-store"
    name = (request.view_args or {}).get("filename", "")
    is_exact = (STATIC / name).is_file() and request.args.get("v") == version_of(name)
    return KEPT_FOR_GOOD if is_exact else "no-cache"
