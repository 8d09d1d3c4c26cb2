"""Where a click link may lead: only to addresses that the host has named, whatever an address tries to look like.

A rule is a host (`example.com`, `example.com:8443`) or the beginning of an address (`https://example.com/app`).
Addresses are compared part by part (RFC 3986), never as texts: `https://example.com.evil.org`,
`https://example.com@evil.org` and `https://example.com/app/../admin` merely begin like an allowed one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

MAX_LENGTH = 2048
PORTS = {"http": 80, "https": 443}
_PLAIN = re.compile(r"[!-\[\]-~]+")
"""Printable ASCII without spaces and backslashes, which browsers and parsers read differently."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The parts of an address that decide where it leads."""

    scheme: str
    host: str
    port: int
    path: str


def is_allowed(target: str, rules: Iterable[str]) -> bool:
    """Whether one of `rules` allows to send people to `target`."""
    place = _place_of(target)
    return place is not None and any(_allows(rule, place) for rule in rules)


def is_rule(rule: str) -> bool:
    """Whether `rule` can be meant."""
    return _place_of(rule if "://" in rule else f"https://{rule}") is not None and ("://" in rule or "/" not in rule)


def _allows(rule: str, place: _Place) -> bool:
    if "://" not in rule:
        wanted = _place_of(f"{place.scheme}://{rule}")
        return wanted is not None and (wanted.host, wanted.port) == (place.host, place.port)
    wanted = _place_of(rule)
    if wanted is None or (wanted.scheme, wanted.host, wanted.port) != (place.scheme, place.host, place.port):
        return False
    folder = wanted.path.rstrip("/")
    return place.path == folder or place.path.startswith(f"{folder}/") or not folder


def _place_of(address: str) -> _Place | None:
    """The parts of an address; None for one that is no plain http address."""
    if len(address) > MAX_LENGTH or not _PLAIN.fullmatch(address):
        return None
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in PORTS or not parts.hostname or "@" in parts.netloc or _climbs(parts):
        return None
    return _Place(parts.scheme, parts.hostname.rstrip("."), port or PORTS[parts.scheme], parts.path)


def _climbs(parts: SplitResult) -> bool:
    """Whether the path leads upwards, also where that is hidden by escapes; escapes of escapes are not believed."""
    path = unquote(unquote(parts.path))
    return "\\" in path or any(segment in {".", ".."} for segment in path.split("/"))
