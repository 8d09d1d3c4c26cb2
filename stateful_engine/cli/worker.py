"""`flask stateful worker`: brings the records of all web hosts from the Redis stream into the database."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click
from flask.cli import with_appcontext

from stateful_engine.errors import StatefulEngineError
from stateful_engine.globals import current_runtime
from stateful_engine.recording.stream import Worker


@click.command("worker")
@click.option("--until-empty", is_flag=True, help="Return when nothing is left in the stream.")
@with_appcontext
def worker(until_empty: bool) -> None:
    """Bring records from STATEFUL_STREAM_URL into the database until SIGTERM or Ctrl-C.

    Run as many as you like, on any machines. The batch in hand is finished before the command returns.
    """
    runtime = current_runtime()
    try:
        bringer = Worker(runtime.database, runtime.settings, runtime.guard, on_commit=runtime.recorder.on_commit)
    except StatefulEngineError as error:
        raise click.ClickException(error.message) from None
    runtime.recorder.start()
    with _stop_on_signals() as stop:
        click.echo(f"worker {bringer.consumer} is waiting for records")
        bringer.run(stop, until_empty=until_empty)
    runtime.close()
    click.echo(f"stored {bringer.stored_entries} records")


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set, so that work in hand is finished."""
    stop = threading.Event()

    def end(_: int, __: FrameType | None) -> None:
        stop.set()

    before = {each: signal.signal(each, end) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
