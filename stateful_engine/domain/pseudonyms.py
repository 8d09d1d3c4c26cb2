"""How people are named in what is stored: as they were given, or by pseudonyms that only this installation can make.

A pseudonym is `anon-` and 32 hex digits of HMAC-SHA-256 (RFC 2104) over the id. Ids of people are few and guessable, so
a plain hash could be undone by trying them all; without the key this one cannot. A pseudonym stands for itself, so an
id may pass several rooms that each see to it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, overload

from stateful_engine.domain.redaction import MAX_DEPTH, REDACTED, TOO_DEEP

PREFIX = "anon-"
_DIGITS = 32
_PSEUDONYM = re.compile(rf"{PREFIX}[0-9a-f]{{{_DIGITS}}}")
_NO_LETTERS = re.compile(r"[^a-z]+")

PERSON_KEYS = frozenset("userid userref chatid telegramid telegramuserid fromid personid customerid".split())
"""Keys of JSON objects, in lower case and without separators, whose values are ids of people."""

UNIT_KEYS = PERSON_KEYS | {"experimentunit", "unit"}
"""Further keys under which the id of a person may stand."""

NAME_KEYS = frozenset("username firstname lastname fullname displayname phone phonenumber email".split())
"""Keys whose values name people outright; a pseudonym of them would serve nobody."""


class People:
    """Names people for the tables of one installation; `key` gives the secret on first use, None keeps ids as given."""

    def __init__(self, key: Callable[[], bytes] | None = None) -> None:
        self._key = key

    @property
    def hidden(self) -> bool:
        """Whether ids are replaced."""
        return self._key is not None

    @overload
    def of(self, user_id: str) -> str: ...
    @overload
    def of(self, user_id: None) -> None: ...
    def of(self, user_id: str | None) -> str | None:
        """The name under which a person is stored."""
        if user_id is None or self._key is None or _PSEUDONYM.fullmatch(user_id):
            return user_id
        digest = hmac.new(self._key(), b"person:" + user_id.encode("utf-8", "replace"), hashlib.sha256)
        return PREFIX + digest.hexdigest()[:_DIGITS]

    def in_json(self, value: Any) -> Any:
        """A JSON value with ids of people replaced and their names blanked out, by the keys they stand under."""
        return value if self._key is None else self._in_json(value, MAX_DEPTH)

    def _in_json(self, value: Any, depth: int) -> Any:
        if not isinstance(value, (Mapping, list, tuple)):
            return value
        if depth <= 0:
            return TOO_DEEP
        if isinstance(value, Mapping):
            return {key: self._member(str(key), item, depth - 1) for key, item in value.items()}
        return [self._in_json(item, depth - 1) for item in value]

    def _member(self, key: str, value: Any, depth: int) -> Any:
        word = _word(key)
        if value is None or value == "":
            return value
        if word in NAME_KEYS:
            return REDACTED
        if word in PERSON_KEYS and isinstance(value, (str, int)) and not isinstance(value, bool):
            return self.of(str(value))
        return self._in_json(value, depth)


AS_GIVEN = People()


def without_person(value: Any, names: Collection[str], mark: str, *, depth: int = MAX_DEPTH) -> Any:
    """A JSON value in which `mark` stands for the person who is called one of `names`; objects that hold the id lose
    the name beside it.
    """
    if depth <= 0 or not isinstance(value, (Mapping, list, tuple)):
        return value
    if not isinstance(value, Mapping):
        return [without_person(item, names, mark, depth=depth - 1) for item in value]
    theirs = {key for key, item in value.items() if _word(key) in UNIT_KEYS and str(item) in names}
    return {
        key: mark
        if key in theirs
        else REDACTED
        if theirs and _word(key) in NAME_KEYS
        else without_person(item, names, mark, depth=depth - 1)
        for key, item in value.items()
    }


def people_in(value: Any, *, depth: int = MAX_DEPTH) -> Iterator[str]:
    """The ids of people that a JSON value names, by the keys they stand under."""
    if depth <= 0 or not isinstance(value, (Mapping, list, tuple)):
        return
    if isinstance(value, Mapping):
        yield from (
            str(item) for key, item in value.items() if _word(key) in UNIT_KEYS and isinstance(item, (str, int))
        )
    for item in value.values() if isinstance(value, Mapping) else value:
        yield from people_in(item, depth=depth - 1)


def _word(key: Any) -> str:
    return _NO_LETTERS.sub("", str(key).lower())
