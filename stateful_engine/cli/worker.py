"""`flask stateful worker`: brings the records of all web hosts from the Redis stream into the database."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import click

from stateful_engine.errors import StatefulEngineError
from stateful_engine.globals import current_runtime
from stateful_engine.recording.stream import Worker


@click.command("worker")
@click.option("--until-empty", is_flag=True, help="Return when nothing is left in the stream.")
def worker(until_empty: bool) -> None:
    """Bring records from STATEFUL_STREAM_URL into the database until SIGTERM or Ctrl-C.

    Run as many as you like, on any machines. The batch in hand is finished before the command returns.
    """
    runtime = current_runtime()
    stop = _stop_on_signals()
    runtime.recorder.start()
    try:
        bringer = Worker(runtime.database, runtime.settings, runtime.guard, on_commit=runtime.recorder.on_commit)
        click.echo(f"worker {bringer.consumer} is waiting for records")
        bringer.run(stop, until_empty=until_empty)
    except StatefulEngineError as error:
        raise click.ClickException(error.message) from None
    finally:
        runtime.close()
    click.echo(f"stored {bringer.stored_entries} records")


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()

    def end(_: int, __: FrameType | None) -> None:
        stop.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, end)
    return stop
