"""The demo host's own commands: `flask demo-traffic` and `flask demo-urls`."""

from __future__ import annotations

import click
from flask import current_app
from flask.cli import with_appcontext

from stateful_engine import StatefulEngineError, get_state_manager
from stateful_engine.demo.candles import CandleStore
from stateful_engine.demo.traffic import play
from stateful_engine.globals import current_runtime


@click.command("demo-traffic")
@click.option("--days", default=60, show_default=True, type=click.IntRange(1, 365), help="How far back to begin.")
@click.option("--signals", default=300, show_default=True, type=click.IntRange(1, 100_000), help="How many to play.")
@click.option("--seed", default=7, show_default=True, help="The same seed tells the same story.")
@click.option("--once", is_flag=True, help="Play nothing when there are signals already.")
@click.option("--port", type=int, help="Print also where to look, of a host that listens there.")
@with_appcontext
def demo_traffic(days: int, signals: int, seed: int, once: bool, port: int | None) -> None:
    """Play signals, clicks, executions and outcomes of the last weeks."""
    try:
        if once and get_state_manager().get_signal_history(limit=1):
            click.echo("There are signals already; nothing played.")
        else:
            counts = play(_candles(), signals=signals, seed=seed, days=days)
            click.echo(f"Played {', '.join(f'{count} {what}' for what, count in counts.items())}.")
    except StatefulEngineError as error:
        raise click.ClickException(error.message) from None
    if port is not None:
        _say_where_to_look(port)


@click.command("demo-urls")
@click.option("--port", default=5000, show_default=True, help="Where the host listens.")
@with_appcontext
def demo_urls(port: int) -> None:
    """Print where to look, and a line to try."""
    _say_where_to_look(port)


def _say_where_to_look(port: int) -> None:
    settings = current_runtime().settings
    symbol, timeframes = next(iter(_candles().markets.items()))
    here = f"http://127.0.0.1:{port}"
    signal = f"{here}/api/gpts/signal?symbol={symbol}&tf={timeframes[min(1, len(timeframes) - 1)]}"
    click.echo(f"A signal      {signal}")
    click.echo(f"All signals   {here}{settings.url_prefix}/signal-history?limit=5")
    click.echo(f"Their worth   {here}{settings.url_prefix}/analytics/signals?days=30")
    if settings.dashboard:
        click.echo(f"Dashboard     {here}{settings.dashboard_prefix}/")
    click.echo(f"Try           curl -s '{signal}'")


def _candles() -> CandleStore:
    store: CandleStore = current_app.extensions["candles"]
    return store
