"""`flask stateful webhooks`: add, list and remove endpoints that are told of events, and bring them their messages."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from stateful_engine.cli.speaking import counted, speaking
from stateful_engine.cli.stopping import stop_on_signals
from stateful_engine.domain.vocabulary import WebhookEvent
from stateful_engine.errors import StorageUnavailableError
from stateful_engine.globals import current_runtime
from stateful_engine.services.webhooks import Webhooks

EVERY_SECONDS = 1.0
AWAY_SECONDS = 5.0


@click.group("webhooks")
def webhooks() -> None:
    """Tell other programs of signals and of what became of them."""


@webhooks.command("add")
@click.argument("url")
@click.option(
    "--event",
    "events",
    multiple=True,
    type=click.Choice([event.value for event in WebhookEvent]),
    help="What to tell of, repeatable; default: everything.",
)
@with_appcontext
def add(url: str, events: tuple[str, ...]) -> None:
    """Tell URL of events; shows the secret of its signatures, this once."""
    with speaking():
        made = _webhooks().add(url, events)
    click.echo(made.secret)
    click.echo(f"id {made.endpoint_id}, events {' '.join(made.events) or 'all'}", err=True)
    click.echo("Keep the secret now: it is not shown again.", err=True)


@webhooks.command("list")
@with_appcontext
def list_endpoints() -> None:
    """Show all endpoints and how they are doing, without their secrets."""
    with speaking():
        found = _webhooks().every()
    for one in found:
        state = f"disabled {one['disabled_at']}" if one["disabled_at"] else "active"
        waiting = f"{one['pending']} waiting, {one['failed']} given up"
        events = " ".join(one["events"]) or "all"
        click.echo(
            "  ".join([one["endpoint_id"], one["url"], events, state, waiting, one["last_error"] or ""]).rstrip()
        )
    if not found:
        click.echo("no webhooks yet; add one with `flask stateful webhooks add URL`", err=True)


@webhooks.command("remove")
@click.argument("endpoint_id")
@with_appcontext
def remove(endpoint_id: str) -> None:
    """Forget the endpoint ENDPOINT_ID and what was still to be told to it."""
    with speaking():
        _webhooks().remove(endpoint_id)
    click.echo(f"{endpoint_id} is told nothing any more", err=True)


@webhooks.command("enable")
@click.argument("endpoint_id")
@with_appcontext
def enable(endpoint_id: str) -> None:
    """Call the endpoint ENDPOINT_ID again after it had failed too often."""
    with speaking():
        _webhooks().enable(endpoint_id)
    click.echo(f"{endpoint_id} is called again", err=True)


@webhooks.command("deliver")
@click.option("--once", is_flag=True, help="Return when nothing is due.")
@with_appcontext
def deliver(once: bool) -> None:
    """Send messages until SIGTERM or Ctrl-C; run as many as you like, on any machines."""
    told = failed = 0
    with speaking(), stop_on_signals() as stop:
        while not stop.is_set():
            try:
                done = _webhooks().deliver(stopped=stop.is_set)
            except StorageUnavailableError as error:
                if once:
                    raise
                click.echo(f"trying again in a moment: {error.message}", err=True)
                stop.wait(AWAY_SECONDS)
                continue
            told, failed = told + done.delivered, failed + done.failed
            if once:
                break
            stop.wait(EVERY_SECONDS)
    click.echo(f"delivered {counted(told, 'message')}, {counted(failed, 'attempt')} failed")


def _webhooks() -> Webhooks:
    runtime = current_runtime()
    return Webhooks(runtime.database, runtime.settings)
