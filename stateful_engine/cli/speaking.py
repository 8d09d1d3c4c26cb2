"""How commands speak: of our errors by their message, which ends in the remedy, and of one record as of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from stateful_engine.errors import StatefulEngineError


@contextmanager
def speaking() -> Iterator[None]:
    """Let our errors end the command with their message."""
    try:
        yield
    except StatefulEngineError as error:
        raise click.ClickException(error.message) from None


def counted(number: int, what: str, more: str | None = None) -> str:
    """`1 record`, `2 records`; `more` is the plural where that is not the word with an s."""
    return f"{number} {what if number == 1 else more or what + 's'}"
