"""What the bodies of answers say. A body that comes again is read once: until a candle closes, hosts repeat themselves.

What is kept is for reading only, and is forgotten after a few dozen other bodies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from stateful_engine.domain.cleanliness import keys_are_clean, texts_are_clean
from stateful_engine.domain.extraction import extract
from stateful_engine.domain.jsonvalues import json_bytes
from stateful_engine.domain.recent import Recent
from stateful_engine.domain.redaction import redact
from stateful_engine.installation import people_of

if TYPE_CHECKING:
    from stateful_engine.config import Settings
    from stateful_engine.domain.extraction import ExtractedSignal

KEPT = 32
"""Bodies that are kept, and for each the questions that it was the answer to."""

MAX_KEPT_BYTES = 8 * 2**10


class Reading:
    """One body: its JSON value (its text where it is no JSON), and whether that holds no secrets.

    Where people are hidden in `value`, `given` is what the view answered, for signals that were hidden with them.
    """

    __slots__ = ("_given", "_signals", "_text", "is_clean", "value")

    def __init__(self, value: Any, *, is_clean: bool = False, given: Any = None) -> None:
        self.value = value
        self._given = value if given is None else given
        self.is_clean = is_clean
        self._signals: Recent[bytes, tuple[ExtractedSignal, ...]] = Recent(KEPT)
        self._text: bytes | None = None

    def text(self, secret_keys: frozenset[str]) -> bytes:
        """The body as JSON text without secrets, for keeping.

        It is made from the value and is never the text that was given: where a key stands twice in an object, only the
        last was looked at.
        """
        if self._text is None:
            self._text = json_bytes(self.value if self.is_clean else redact(self.value, secret_keys))
        return self._text

    def signal(self, request: Any, mapping: Any) -> ExtractedSignal | None:
        """The first signal in the body, for a request with these parameters; None when there is none."""
        question = json_bytes((request, mapping))
        found = self._signals.get(question)
        if found is None:
            found = extract(self.value, request=request, mapping=mapping).signals
            if not found and self._given is not self.value:
                found = extract(self._given, request=request, mapping=mapping).signals
            if len(question) <= MAX_KEPT_BYTES:
                self._signals.keep(question, found)
        return found[0] if found else None


NOTHING = Reading(None, is_clean=True)


class Readings:
    """The bodies that were read last, by their bytes; any number of threads may ask."""

    def __init__(self, settings: Settings) -> None:
        self._secret_keys = settings.redact
        self._people = people_of(settings)
        self._kept: Recent[bytes, Reading] = Recent(KEPT)

    def of(self, body: bytes | None) -> Reading:
        """What `body` says."""
        if body is None:
            return NOTHING
        known = self._kept.get(body)
        if known is not None:
            return known
        reading = self._read(body)
        if len(body) <= MAX_KEPT_BYTES:
            self._kept.keep(body, reading)
        return reading

    def _read(self, body: bytes) -> Reading:
        value = _parsed(body)
        if self._people.hidden:
            return Reading(self._people.in_json(value), given=value)
        return Reading(value, is_clean=texts_are_clean(body) and keys_are_clean(value, self._secret_keys))


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")
