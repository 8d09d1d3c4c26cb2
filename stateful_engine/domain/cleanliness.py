"""Whether an encoded record can hold a secret at all, so that the few that can are redacted and the others are not.

`redact` looks at every text with several patterns, which costs more than everything else on a record's way. Here a few
searches for short marks in the encoded bytes, and one look at the keys, answer for most records that there is nothing
to redact. In doubt the answer is that there may be: `redact` decides.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any

from stateful_engine.domain.redaction import MAX_DEPTH, is_secret

MAX_KNOWN_NAMES = 64
MAX_KNOWN_LETTERS = 2000
"""Objects with more keys, or with longer ones, are not remembered."""

_MARKS = re.compile(rb"bearer|horization|yj|h[po]_|hub_pat|xox|kia|pass")
"""Where a secret may begin, by parts of the marks that begin with a rare letter: such a search is the fastest."""

_CLOSER = re.compile(rb"bearer|authorization|eyj|gh[po]_|github_pat|xox|akia|pass")
_NAMED = ((b"key", re.compile(rb"(?:api|secret|private)[-_]?\Z")), (b"secret", re.compile(rb"api[-_]?\Z")))
"""Words that name a secret behind others: `key` alone is harmless, and stands in every signal as `episode_key`."""

_LONGEST = len(b"private_")
_ASSIGNED = re.compile(rb"(?:token|secret|signature|jwt)=")
_PREFIXED = (
    *(re.compile(prefix + rb"[a-z0-9_-]{16}") for prefix in (rb"se_", rb"sk-")),
    re.compile(rb"whsec_[a-z0-9+/]{16}"),
)
_BOT_TOKEN = re.compile(rb":[a-z0-9_-]{30}")
_WORD = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_")
_OTHER_CASES = re.compile(rb"\xc4[\xb0\xb1]|\xc5\xbf|\xe2\x84\xaa")
"""Both Turkish letters i, the long s and the Kelvin sign: patterns without regard to case take them for i, s and k."""


def texts_are_clean(encoded: bytes) -> bool:
    """Whether no text in the JSON `encoded` can hold a secret that `redact_text` knows."""
    if b"\\u" in encoded or b"\\/" in encoded:
        return False
    if not encoded.isascii() and _OTHER_CASES.search(encoded) is not None:
        return False
    lowered = encoded.lower()
    if _MARKS.search(lowered) is not None and _CLOSER.search(lowered) is not None:
        return False
    if any(_stands_behind(word, before, lowered) for word, before in _NAMED):
        return False
    if b"=" in lowered and _ASSIGNED.search(lowered) is not None:
        return False
    if b"@" in lowered and b"://" in lowered:
        return False
    if _BOT_TOKEN.search(lowered) is not None:
        return False
    return not any(_begins_a_word(pattern, lowered) for pattern in _PREFIXED)


def _stands_behind(word: bytes, before: re.Pattern[bytes], text: bytes) -> bool:
    start = text.find(word)
    while start >= 0:
        if before.search(text, max(0, start - _LONGEST), start) is not None:
            return True
        start = text.find(word, start + 1)
    return False


def _begins_a_word(pattern: re.Pattern[bytes], text: bytes) -> bool:
    """Behind a line break or a tab as well, of which JSON makes a letter behind a backslash."""
    match = pattern.search(text)
    while match is not None:
        start = match.start()
        if start == 0 or text[start - 1] not in _WORD or text[start - 2 : start - 1] == b"\\":
            return True
        match = pattern.search(text, start + 1)
    return False


def keys_are_clean(value: Any, keys: frozenset[str]) -> bool:
    """Whether no key anywhere in the JSON `value` names a secret by the list `keys`."""
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for each in level:
            if type(each) is dict:
                if not _names_are_clean(each, keys):
                    return False
                below += [item for item in each.values() if type(item) is dict or type(item) is list]
            elif type(each) is list:
                below += [item for item in each if type(item) is dict or type(item) is list]
        if not below:
            return True
        level = below
    return False


def _names_are_clean(names: Collection[str], keys: frozenset[str]) -> bool:
    """Objects are of a few shapes that come again; one that is keyed by times or by what a caller sent is looked at."""
    if len(names) <= MAX_KNOWN_NAMES and sum(map(len, names)) <= MAX_KNOWN_LETTERS:
        return _shape_is_clean(tuple(names), keys)
    return not any(len(name) <= 100 and is_secret(name, keys) for name in names)


@lru_cache(maxsize=1024)
def _shape_is_clean(names: tuple[str, ...], keys: frozenset[str]) -> bool:
    return not any(len(name) <= 100 and is_secret(name, keys) for name in names)
