"""What is not kept: secrets in parameters, bodies and texts, and characters and numbers that a database refuses.

Redaction is by the name of a key (`api_key`, `telegramBotToken`) and by the look of a text (bot tokens in URLs, bearer
tokens, keys of known makers). It errs on the side of trading data: `quote_token: "USDT"` names a coin, not a secret.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date
from enum import Enum
from functools import lru_cache
from typing import Any

REDACTED = "[redacted]"
TOO_DEEP = "[nested too deeply]"
SHORTEST = 20
"""Characters below which the name of a member is not looked at: no secret that betrays itself is shorter."""

MAX_DEPTH = 100
"""Levels of nesting that are kept; encoders stop at about 250."""

_INT64 = 2**63
_REPLACEMENT = "\ufffd"
_SEPARATORS = re.compile(r"[-_.\s]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ENDINGS = frozenset({"apikey", "passphrase", "passwd", "password", "secret"})
"""Single words that betray a secret also at the end of a longer key; names of several words always do."""

_SECRETS = (
    (re.compile(r"(?<![0-9])[0-9]{6,12}:[A-Za-z0-9_-]{30,}"), REDACTED),
    (re.compile(r"\b(bearer\s+)[A-Za-z0-9._~+/-]{16,}=*", re.IGNORECASE), r"\1" + REDACTED),
    (re.compile(r"\b(authorization\s*[:=]\s*\w+\s+)[^\s\"',;]+", re.IGNORECASE), r"\1" + REDACTED),
    (re.compile(r"([a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)", re.IGNORECASE), r"\1" + REDACTED),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/]{16,}=*"), REDACTED),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*"), REDACTED),
    (re.compile(r"\b(?:sk-|se_|ghp_|gho_|github_pat_|xox[abprs]-|AKIA)[A-Za-z0-9_-]{16,}"), REDACTED),
    (
        re.compile(
            r"((?:api[-_]?key|api[-_]?secret|secret[-_]?key|private[-_]?key|password|passwd|passphrase)"
            r"[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;]+",
            re.IGNORECASE,
        ),
        r"\1" + REDACTED,
    ),
    (re.compile(r"((?:token|secret|signature|jwt)=)[^\s\"'&,;]+", re.IGNORECASE), r"\1" + REDACTED),
)
_HINT = re.compile(
    r"[0-9]{6}:[A-Za-z0-9_-]|bearer|authorization|://[^/\s]*@|eyJ|sk-|se_|whsec_|gh[po]_|github_pat|xox|AKIA"
    r"|key|secret|passw|passphrase|token=|signature=|jwt=",
    re.IGNORECASE,
)


def redact(value: Any, keys: frozenset[str]) -> Any:
    """A copy of a JSON value in which the values under secret keys are `[redacted]` and texts hold no known secrets.

    `keys` are compared without regard to case, separators and what stands before them: `api_key` also covers
    `apiKey`, `X-Api-Key` and `binance_api_key`. None and empty texts stay, since they give nothing away.
    """
    return _redact(value, keys, MAX_DEPTH)


def redact_text(text: str) -> str:
    """The text without bot tokens, bearer tokens, passwords in URLs and the keys of known makers."""
    if (len(text) < 20 and text.isalnum()) or _HINT.search(text) is None:
        return text
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _redact(value: Any, keys: frozenset[str], depth: int) -> Any:
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        if depth <= 0:
            return TOO_DEEP
        return {_name(key): _redact_member(key, item, keys, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redact(item, keys, depth - 1) for item in value] if depth > 0 else TOO_DEEP
    return value


def _name(key: Any) -> Any:
    """A key without secrets: where `?sk-…` was meant to be a value, it is the name of a parameter."""
    return redact_text(key) if isinstance(key, str) and len(key) >= SHORTEST else key


def _redact_member(key: Any, value: Any, keys: frozenset[str], depth: int) -> Any:
    if isinstance(key, str) and len(key) <= 100 and is_secret(key, keys):
        return value if value is None or value == "" else REDACTED
    return _redact(value, keys, depth)


@lru_cache(maxsize=8192)
def is_secret(key: str, keys: frozenset[str]) -> bool:
    """Whether `key` is the name of a secret by the list `keys`."""
    whole, endings = _folded(keys)
    words = [word for word in _SEPARATORS.split(_CAMEL.sub("_", key).lower()) if word]
    if "".join(words) in whole:
        return True
    return any("".join(words[start:]) in endings for start in range(1, len(words)))


@lru_cache(maxsize=64)
def _folded(keys: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """The names without separators: all of them, and those that may stand at the end of a longer key."""
    folded = {key: _SEPARATORS.sub("", key.lower()) for key in keys}
    endings = {short for key, short in folded.items() if _SEPARATORS.search(key) or short in _ENDINGS}
    return frozenset(folded.values()), frozenset(endings)


def clean_text(text: str) -> tuple[str, bool]:
    """The text as PostgreSQL takes it, and whether it had to be changed.

    NUL and lone surrogates become U+FFFD; two surrogates that make a pair become their character.
    """
    cleaned = text.replace("\0", _REPLACEMENT) if "\0" in text else text
    if not cleaned.isascii():
        try:
            cleaned.encode()
        except UnicodeEncodeError:
            cleaned = cleaned.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return cleaned, cleaned is not text


def clean_json(value: Any) -> tuple[Any, bool]:
    """The value as plain JSON that both databases take, and whether anything in it had to be replaced.

    Texts and keys are cleaned like `clean_text`; NaN and infinities become null, integers beyond 64 bits floats, what
    is nested more than 100 levels deep a note. Enums, dates and decimals take their JSON form, which is no replacement.
    """
    replaced: list[bool] = []
    return _clean(value, MAX_DEPTH, replaced), bool(replaced)


def _clean(value: Any, depth: int, replaced: list[bool]) -> Any:
    kind = type(value)
    if kind is str:
        return _clean_text(value, replaced)
    if value is None or kind is bool:
        return value
    if kind is float or kind is int:
        return _clean_number(value, replaced)
    if isinstance(value, Mapping) or kind in (list, tuple, set, frozenset):
        return _clean_container(value, depth, replaced)
    return _clean_odd(value, depth, replaced)


def _clean_text(text: str, replaced: list[bool]) -> str:
    cleaned, changed = clean_text(text)
    if changed:
        replaced.append(True)
    return cleaned


def _clean_number(value: Any, replaced: list[bool]) -> Any:
    if isinstance(value, int):
        if -_INT64 <= value < _INT64:
            return value
        replaced.append(True)
        value = float(value) if abs(value) < 10**308 else math.inf
    if math.isfinite(value):
        return value
    replaced.append(True)
    return None


def _clean_container(value: Any, depth: int, replaced: list[bool]) -> Any:
    if depth <= 0:
        replaced.append(True)
        return TOO_DEEP
    if isinstance(value, Mapping):
        return {_clean_key(key, replaced): _clean(item, depth - 1, replaced) for key, item in value.items()}
    return [_clean(item, depth - 1, replaced) for item in value]


def _clean_key(key: Any, replaced: list[bool]) -> str:
    if isinstance(key, Enum):
        key = key.value
    return _clean_text(key if type(key) is str else str(key), replaced)


def _clean_odd(value: Any, depth: int, replaced: list[bool]) -> Any:
    """What hosts hand over besides JSON: members of enums, dates, decimals, numpy scalars, bytes, anything."""
    if isinstance(value, Enum):
        return _clean(value.value, depth, replaced)
    if isinstance(value, (str, int)):
        return _clean(str.__str__(value) if isinstance(value, str) else int(value), depth, replaced)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return _clean_text(value.decode("utf-8", "replace"), replaced)
    if hasattr(value, "__float__"):
        return _clean_number(_float(value), replaced)
    return _clean_text(str(value), replaced)


def _float(value: Any) -> float:
    try:
        return float(value)
    except (ValueError, TypeError, OverflowError):
        return math.nan
