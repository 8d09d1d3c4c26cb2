"""The secret of one installation: what pseudonyms, click links and webhook secrets are made with.

It is `STATEFUL_HASH_KEY`, or a file that the first process which needs it makes in the instance folder. Several
machines need the setting, or each names people and signs links in its own way.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from stateful_engine.domain.pseudonyms import AS_GIVEN, People
from stateful_engine.errors import ConfigurationError

if TYPE_CHECKING:
    from stateful_engine.config import Settings

FILE = "stateful_engine.key"
_BYTES = 32


def key_for(settings: Settings, purpose: str) -> bytes:
    """32 bytes for one purpose, the same in every process of this installation; knowing one key betrays no other.

    Raises `ConfigurationError` when there is no setting and the file cannot be made.
    """
    return _derived(settings.hash_key, settings.instance_path, purpose)


def people_of(settings: Settings) -> People:
    """How this app names people in what it stores."""
    return People(lambda: key_for(settings, "people")) if settings.hash_user_ids else AS_GIVEN


@cache
def _derived(given: str | None, folder: Path, purpose: str) -> bytes:
    secret = _from_file(folder / FILE) if given is None else given.encode()
    return hmac.new(secret, purpose.encode(), hashlib.sha256).digest()


def _from_file(path: Path) -> bytes:
    """The secret in the file, which is made under its lock, so that processes that start together agree."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"the key file {path.name} in the instance folder cannot be opened ({os.strerror(error.errno or 0)}); "
            "set STATEFUL_HASH_KEY, or let this user write there"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return _read_or_made(descriptor)
    finally:
        os.close(descriptor)


def _read_or_made(descriptor: int) -> bytes:
    """A file that is shorter than a secret is one whose maker died; nobody has used it yet."""
    found = os.pread(descriptor, 2 * _BYTES, 0)
    if len(found) == 2 * _BYTES:
        return found
    made = secrets.token_hex(_BYTES).encode()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, made, 0)
    os.fsync(descriptor)
    return made
