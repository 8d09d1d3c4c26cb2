"""Outgoing webhooks by the Standard Webhooks specification 1.0 (https://www.standardwebhooks.com): signatures, pauses
between attempts, and which addresses on the network may be called at all.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import timedelta
from ipaddress import IPv6Address, ip_address

SECRET_PREFIX = "whsec_"

FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(hours=6)
MOST_ATTEMPTS = 16
"""Attempts for one message, over about a day."""

MOST_FAILURES = 20
"""Failures in a row, over about two days, after which an endpoint is no longer called."""


def secret_text(key: bytes) -> str:
    """A signing key as receivers are given it."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`; `timestamp` in seconds since the epoch."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def pause(failures: int, chance: float) -> timedelta:
    """How long to wait after so many failures in a row: doubling up to a limit, and by `chance` (0 to 1) up to half as
    long, so that many messages do not knock at once.
    """
    doublings = min(max(0, failures - 1), 20)
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * (1 << doublings))
    return longest * (1 - chance / 2)


def is_public(address: str) -> bool:
    """Whether a numeric address belongs to the public network, and to none that hides another address in it."""
    try:
        known = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(known, IPv6Address) and (known.sixtofour is not None or known.teredo is not None):
        return False
    return known.is_global and not (known.is_multicast or known.is_reserved or known.is_unspecified)
