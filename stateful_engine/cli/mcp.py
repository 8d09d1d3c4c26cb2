"""`flask stateful mcp`: the tools of MCP over standard input and output, for a client on the same machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import click
from flask import current_app
from flask.cli import with_appcontext

from stateful_engine.domain.vocabulary import Scope
from stateful_engine.globals import current_runtime

READS = tuple(scope for scope in Scope if scope.value.endswith(":read"))
EVERYDAY = tuple(scope for scope in Scope if scope is not Scope.ADMIN)


@click.command("mcp")
@click.option("--write", is_flag=True, help="Offer also what records and changes; cleaning up needs --scope admin.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="Offer only what these scopes allow, repeatable.",
)
@with_appcontext
def mcp(write: bool, scopes: tuple[str, ...]) -> None:
    """Serve MCP on standard input and output: one JSON-RPC message per line, reading only unless told otherwise."""
    allowed = [Scope(scope) for scope in scopes] or list(EVERYDAY if write else READS)
    with _protocol_only() as out, suppress(BrokenPipeError, KeyboardInterrupt):
        for answer in _door().mcp.converse(_lines(), allowed):
            out.write(answer + b"\n")
            out.flush()


def _lines() -> Iterator[bytes]:
    """Lines of standard input; of one beyond the limit only so much that it is seen to be too long."""
    most = current_runtime().settings.max_body_bytes + 1
    while line := sys.stdin.buffer.readline(most + 1):
        is_whole = line.endswith(b"\n")
        yield line
        while not is_whole and (rest := sys.stdin.buffer.readline(most)):
            is_whole = rest.endswith(b"\n")


@contextmanager
def _protocol_only() -> Iterator[BinaryIO]:
    """The way to the client; what anything else of this process prints meanwhile goes to standard error."""
    sys.stdout.flush()
    stdout = sys.stdout.fileno()
    with os.fdopen(os.dup(stdout), "wb") as out:
        os.dup2(sys.stderr.fileno(), stdout)
        try:
            yield out
        finally:
            os.dup2(out.fileno(), stdout)


def _door() -> Any:
    """The JSON door, reached by the app: doors do not import each other."""
    return current_app.extensions["stateful_engine_api"]
