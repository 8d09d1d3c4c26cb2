"""Who has signed in: signed cookies of our own, beside the host's session and never in it.

A session holds the id of an API key, which is looked up with every page, so that revoking the key ends the session. A
form is answered only with the token that was made for the cookie it was shown with.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from itsdangerous import BadSignature, URLSafeTimedSerializer

from stateful_engine.installation import key_for

if TYPE_CHECKING:
    from flask import Flask, Request
    from werkzeug.wrappers import Response

    from stateful_engine.config import Settings

SESSION_COOKIE = "stateful_engine_session"
FORM_COOKIE = "stateful_engine_form"
LIFETIME = timedelta(hours=12)
SALT = "stateful_engine.dashboard"


@dataclass(frozen=True, slots=True)
class Session:
    """A visitor who has signed in: with which key, and a secret that their forms are bound to."""

    key_id: str
    nonce: str


class Sessions:
    """Reads and writes the cookies of one app."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    def begin(self, response: Response, key_id: str, *, request: Request) -> None:
        """Let the browser keep a session for this key."""
        self._set(response, SESSION_COOKIE, self._sign([key_id, secrets.token_hex(16)]), request)
        response.delete_cookie(FORM_COOKIE, path=self._path(request))

    def end(self, response: Response, *, request: Request) -> None:
        """Let the browser forget its session."""
        response.delete_cookie(SESSION_COOKIE, path=self._path(request))

    def of(self, request: Request) -> Session | None:
        """The session that a request belongs to, unless it is forged or too old."""
        said = self._read(request.cookies.get(SESSION_COOKIE))
        if not isinstance(said, list) or len(said) != 2 or not all(isinstance(part, str) for part in said):
            return None
        return Session(*said)

    def offer_form(self, response: Response, nonce: str, *, request: Request) -> None:
        """Let the browser keep what the token of a form for strangers is bound to."""
        self._set(response, FORM_COOKIE, nonce, request)

    def token(self, nonce: str) -> str:
        """What a form must carry whose browser holds `nonce`."""
        return hmac.new(self._secret(), f"{SALT}.form.{nonce}".encode(), hashlib.sha256).hexdigest()

    def is_meant(self, nonce: str | None, token: str | None) -> bool:
        """Whether a form was sent from a page of ours: its token fits the cookie that came with it."""
        if not nonce or not token:
            return False
        return hmac.compare_digest(self.token(nonce).encode(), token.encode())

    def _set(self, response: Response, name: str, value: str, request: Request) -> None:
        response.set_cookie(
            name,
            value,
            max_age=LIFETIME,
            path=self._path(request),
            secure=request.is_secure,
            httponly=True,
            samesite="Lax",
        )

    def _path(self, request: Request) -> str:
        return f"{request.root_path}{self._settings.dashboard_prefix}"

    def _sign(self, said: list[str]) -> str:
        return str(self._serializer().dumps(said))

    def _read(self, cookie: str | None) -> object:
        if not cookie:
            return None
        try:
            said: object = self._serializer().loads(cookie, max_age=int(LIFETIME.total_seconds()))
        except BadSignature:
            return None
        return said

    def _serializer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self._secret(), salt=SALT, signer_kwargs={"digest_method": hashlib.sha256})

    def _secret(self) -> bytes:
        """The host's secret key where it has one, else that of this installation."""
        given = self._app.secret_key
        if given:
            return given if isinstance(given, bytes) else given.encode()
        return key_for(self._settings, SALT)
