"""`flask stateful worker`: brings the records of all web hosts from the Redis stream into the database."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from stateful_engine.cli.speaking import counted
from stateful_engine.cli.stopping import stop_on_signals
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
    with stop_on_signals() as stop:
        click.echo(f"worker {bringer.consumer} is waiting for records")
        bringer.run(stop, until_empty=until_empty)
    runtime.close()
    click.echo(f"stored {counted(bringer.stored_entries, 'record')}")
