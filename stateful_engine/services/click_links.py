"""Click links: addresses that record that somebody clicked, and lead on to a place that the host allows.

What a link says (signal, target, person, until when) is signed, not hidden; with `STATEFUL_HASH_USER_IDS` it names the
person by the pseudonym.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from itsdangerous import BadData, URLSafeSerializer

from stateful_engine.config import LINK_LIFETIME
from stateful_engine.domain import clock
from stateful_engine.domain.link_targets import is_allowed
from stateful_engine.errors import Fault, InvalidInputError, NotFoundError
from stateful_engine.installation import key_for
from stateful_engine.services import inputs
from stateful_engine.storage.base import SHORT_TEXT

if TYPE_CHECKING:
    from stateful_engine.config import Settings
    from stateful_engine.domain.pseudonyms import People

PATH = "/r/"
MAX_TOKEN = 4096


@dataclass(frozen=True, slots=True)
class Click:
    """What a link says; `source` is a word of `InteractionSource`, None leaves it to the visitor's user agent."""

    signal_id: str
    target: str
    user_id: str | None
    source: str | None


class ClickLinks:
    """Makes and reads the links of one app."""

    def __init__(self, settings: Settings, people: People) -> None:
        self._settings = settings
        self._people = people

    def link(
        self,
        base: str,
        click: Click,
        *,
        expires: timedelta | float | None = LINK_LIFETIME,
    ) -> str:
        """The link below the address `base` of the app; `expires` as a duration or in seconds, None for never.

        Raises `InvalidInputError` for a target that `STATEFUL_LINK_TARGETS` does not allow.
        """
        if not self.allows(click.target):
            detail = "the target of a click link is not allowed; add its host to STATEFUL_LINK_TARGETS"
            raise InvalidInputError(detail, errors=(Fault("/target", detail, "NOT_ALLOWED"),))
        person = self._people.of(inputs.text(click.user_id))
        said = [inputs.text(click.signal_id, most=SHORT_TEXT), click.target, person, _until(expires), click.source]
        token = self._serializer().dumps(said)
        return f"{base.rstrip('/')}{self._settings.url_prefix}{PATH}{token}"

    def read(self, token: str) -> Click:
        """What a link says; raises the same `NotFoundError` for one that is forged, has expired, or may no longer lead
        where it leads.
        """
        if len(token) > MAX_TOKEN:
            raise _unknown()
        try:
            signal_id, target, user_id, until, source = self._serializer().loads(token)
        except (BadData, ValueError):
            raise _unknown() from None
        if (until is not None and clock.epoch_seconds() > until) or not self.allows(target):
            raise _unknown()
        return Click(signal_id, target, user_id, source)

    def allows(self, target: str) -> bool:
        """Whether links may lead to `target`."""
        rules = self._settings.link_targets or tuple(filter(None, [self._settings.public_url]))
        return is_allowed(target, rules)

    def _serializer(self) -> URLSafeSerializer:
        key = key_for(self._settings, "click links")
        return URLSafeSerializer(key, salt="click", signer_kwargs={"digest_method": hashlib.sha256})


def _until(expires: timedelta | float | None) -> int | None:
    if expires is None:
        return None
    seconds = expires.total_seconds() if isinstance(expires, timedelta) else inputs.finite(expires, "expires")
    return int(clock.epoch_seconds() + seconds)


def _unknown() -> NotFoundError:
    return NotFoundError("this link is not valid or has expired; ask for a new one", code="LINK_NOT_FOUND")
