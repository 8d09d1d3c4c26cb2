"""Who may see the pages: whoever may read the reports of the API, by the same rule, or after signing in with a key."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import current_app, g, make_response, redirect, request, url_for

from stateful_engine.access import Principal, authenticate, authorize, is_open, offered_key
from stateful_engine.dashboard.rendering import DOOR_KEY, render
from stateful_engine.dashboard.sessions import FORM_COOKIE
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.errors import AuthenticationError, MalformedRequestError, PayloadTooLargeError

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

    from stateful_engine.dashboard.blueprint import Dashboard
    from stateful_engine.dashboard.sessions import Session

SCOPE = Scope.ANALYTICS_READ
MOST_FORM_BYTES = 16 * 2**10
MOST_NEXT = 2000


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whoever looks at a page; `form_token` goes with the button to sign out, for those who have signed in."""

    principal: Principal
    form_token: str | None = None

    def may(self, scope: Scope) -> bool:
        """Whether the visitor may see pages of this scope."""
        return self.principal.may(scope)


class SignInNeededError(AuthenticationError):
    """A page was asked for by a stranger; sign in with an API key."""


def admit(scope: Scope = SCOPE) -> Visitor:
    """The visitor of this request; raises `SignInNeededError` for who may sign in, for others what the API raises.

    Every page asks for `analytics:read`, and those with records of other kinds for their `scope` too.
    """
    dashboard = _dashboard()
    session = dashboard.sessions.of(request)
    if session is None or not _asks_for_keys(dashboard) or offered_key(request) is not None:
        principal, token = _by_rule(dashboard), None
    else:
        principal, token = _by_session(dashboard, session), dashboard.sessions.token(session.nonce)
    authorize(principal, SCOPE)
    visitor = Visitor(principal, token)
    g._stateful_engine_visitor = visitor
    require(scope)
    return visitor


def require(scope: Scope) -> None:
    """Raise `PermissionDeniedError` unless the visitor who was let in may see records of this scope."""
    authorize(g._stateful_engine_visitor.principal, scope)


def _by_rule(dashboard: Dashboard) -> Principal:
    try:
        return authenticate(dashboard.settings, dashboard.keys, request)
    except AuthenticationError as error:
        if _asks_for_keys(dashboard) and offered_key(request) is None:
            raise SignInNeededError("these pages ask for a key; sign in with one") from error
        raise


def _by_session(dashboard: Dashboard, session: Session) -> Principal:
    holder = dashboard.keys.holder_of(session.key_id)
    if holder is None:
        raise SignInNeededError("the key of this session has expired or was revoked; sign in with another one")
    return Principal(holder.key_id, holder.scopes)


def _asks_for_keys(dashboard: Dashboard) -> bool:
    return not callable(dashboard.settings.auth) and not is_open(dashboard.settings, current_app)


def show_sign_in(problem: str = "", *, status: int = 200) -> Response:
    """The form that asks for a key; where nobody has to sign in, the first page."""
    dashboard = _dashboard()
    if not _asks_for_keys(dashboard):
        return _to(_page_asked_for())
    nonce = request.cookies.get(FORM_COOKIE) or secrets.token_hex(16)
    page = render("login.html", problem=problem, next=_page_asked_for(), token=dashboard.sessions.token(nonce))
    response = make_response(page, status)
    dashboard.sessions.offer_form(response, nonce, request=request)
    return response


def sign_in() -> Response:
    """Begin a session for whoever sends a key that may read the reports."""
    dashboard = _dashboard()
    if not _asks_for_keys(dashboard):
        return _to("/")
    _refuse_large_form()
    if not dashboard.sessions.is_meant(request.cookies.get(FORM_COOKIE), request.form.get("token")):
        return show_sign_in("The form was too old or this browser keeps no cookies. Please send it again.", status=400)
    holder = dashboard.keys.recognise(request.form.get("key", "").strip())
    if holder is None:
        return show_sign_in("This key is unknown, expired or revoked.", status=401)
    if not Principal(holder.key_id, holder.scopes).may(SCOPE):
        return show_sign_in(f"This key may not see the pages; use one with the scope {SCOPE}.", status=403)
    response = _to(_page_asked_for())
    dashboard.sessions.begin(response, holder.key_id, request=request)
    return response


def sign_out() -> Response:
    """End the session, when the visitor pressed our button."""
    dashboard = _dashboard()
    _refuse_large_form()
    session = dashboard.sessions.of(request)
    if session is not None and not dashboard.sessions.is_meant(session.nonce, request.form.get("token")):
        raise MalformedRequestError("this did not come from the button on our pages; press it there")
    response = redirect(url_for(".login"), 303)
    dashboard.sessions.end(response, request=request)
    return response


def to_sign_in() -> Response:
    """On to the form, and after it back to the page that was asked for."""
    query = request.query_string.decode("ascii", "replace")
    asked = request.path.removeprefix(_dashboard().settings.dashboard_prefix) + (f"?{query}" if query else "")
    return redirect(url_for(".login", next=asked if asked not in {"", "/"} else None), 303)


def _page_asked_for() -> str:
    """The path below our prefix that the visitor wanted; it is only ever put behind our prefix."""
    asked = request.values.get("next", "/")
    is_path = asked.startswith("/") and len(asked) <= MOST_NEXT and asked.isprintable()
    return asked if is_path else "/"


def _to(path: str) -> Response:
    return redirect(f"{request.root_path}{_dashboard().settings.dashboard_prefix}{path}", 303)


def _refuse_large_form() -> None:
    if (request.content_length or 0) > MOST_FORM_BYTES:
        raise PayloadTooLargeError("the form is larger than any of ours; send only the key")


def _dashboard() -> Dashboard:
    dashboard: Dashboard = current_app.extensions[DOOR_KEY]
    return dashboard
