"""How commands tell of our errors: by their message, which ends in the remedy, instead of a traceback."""

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
