"""Who is calling, and what they may do: one rule for the API and for the pages.

`STATEFUL_AUTH` decides: `auto` is open only while the app is in debug or testing and asks for an API key otherwise;
`none` is open; `api_key` asks always; a callable of the host takes the request and answers with a yes or no, or with
the scopes of the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import current_app

from stateful_engine.domain.identifiers import API_KEY_PREFIX
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.errors import AuthenticationError, ConfigurationError, PermissionDeniedError

if TYPE_CHECKING:
    from flask import Flask, Request

    from stateful_engine.config import Settings
    from stateful_engine.services.api_keys import ApiKeys

ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller who was let in: a name for limits and logs, and what it may do."""

    name: str
    scopes: frozenset[Scope]
    known: bool = True

    def may(self, scope: Scope | None) -> bool:
        """Whether this caller may use operations of `scope`."""
        return scope is None or scope in self.scopes or Scope.ADMIN in self.scopes


ANYBODY = Principal("anybody", ALL_SCOPES, known=False)
NOBODY = Principal("nobody", frozenset(), known=False)


def authenticate(settings: Settings, keys: ApiKeys, request: Request) -> Principal:
    """The caller of `request`; raises `AuthenticationError` with the remedies when nobody is known to be calling.

    A key is used also where none is asked for, so that its scopes and its limit hold everywhere alike.
    """
    if callable(settings.auth):
        return _ask_host(settings.auth, request)
    offered = offered_key(request)
    if offered is not None:
        return _holder(keys, offered)
    if is_open(settings, current_app):
        return ANYBODY
    raise AuthenticationError(
        "this API asks for a key; create one with `flask stateful keys create` and send it as `Authorization: Bearer "
        "…` or `X-API-Key`, or let your own function decide with STATEFUL_AUTH=callable, or open the API to everybody "
        "who can reach it with STATEFUL_AUTH=none"
    )


def offered_key(request: Request) -> str | None:
    """The key that a request carries: `X-API-Key`, a bearer token, or the password (else the user name) of Basic.

    Other tokens than ours belong to the host and are not looked at; never a key in the URL, where logs would keep it.
    """
    header, given = request.headers.get("X-API-Key"), request.authorization
    if header:
        return header.strip()
    if given is None:
        return None
    candidates = (given.token,) if given.type == "bearer" else (given.password, given.username)
    return next((text for text in candidates if text and text.startswith(f"{API_KEY_PREFIX}_")), None)


def _holder(keys: ApiKeys, offered: str) -> Principal:
    holder = keys.recognise(offered)
    if holder is None:
        raise AuthenticationError(
            "this key is unknown, expired or revoked; create one with `flask stateful keys create`", code="INVALID_KEY"
        )
    return Principal(holder.key_id, holder.scopes)


def is_open(settings: Settings, app: Flask) -> bool:
    """Whether the app lets everybody in who can reach it."""
    return settings.auth == "none" or (settings.auth == "auto" and (app.debug or app.testing))


def authorize(principal: Principal, scope: Scope | None) -> None:
    """Raise `PermissionDeniedError` unless the caller may use operations of `scope`."""
    if not principal.may(scope):
        raise PermissionDeniedError(f"this caller may not use {scope}; use a key that has the scope {scope}")


def _ask_host(decide: Callable[..., Any], request: Request) -> Principal:
    """What the host's function says: True, the name of the caller, its scopes, a `Principal`, or False and None."""
    answer = current_app.ensure_sync(decide)(request)
    if answer is None or answer is False:
        raise AuthenticationError(
            "this app did not let the request in; send the credentials that its developer gave you"
        )
    if isinstance(answer, Principal):
        return answer
    if answer is True:
        return Principal("host", ALL_SCOPES)
    if isinstance(answer, str) and answer:
        return Principal(answer, ALL_SCOPES)
    if isinstance(answer, (list, tuple, set, frozenset)):
        return Principal("host", _scopes(answer))
    raise ConfigurationError(
        f"STATEFUL_AUTH returned {type(answer).__name__}; return True or False, the caller's name, or a list of scopes"
    )


def _scopes(names: Iterable[Any]) -> frozenset[Scope]:
    try:
        return frozenset(Scope(str(name)) for name in names)
    except ValueError as error:
        known = ", ".join(ALL_SCOPES)
        raise ConfigurationError(f"STATEFUL_AUTH returned {error}; the scopes are {known}") from None
