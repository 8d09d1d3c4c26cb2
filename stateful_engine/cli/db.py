"""`flask stateful db …`: our tables in this app's database, from nothing to the newest version and back."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from flask.cli import AppGroup

from stateful_engine.errors import StatefulEngineError
from stateful_engine.globals import current_runtime
from stateful_engine.storage import migrate
from stateful_engine.storage.database import Database


def _with_database(command: Callable[..., None]) -> Callable[..., None]:
    """Hand the app's database to a command; an error of ours becomes one line and exit status 1."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            command(current_runtime().database, *args, **options)
        except StatefulEngineError as error:
            raise click.ClickException(error.message) from error

    return run


db = AppGroup(
    "db", help="Make, upgrade and compare the tables of stateful_engine; the host's own migrations are not touched."
)


@db.command()
@click.argument("revision", default="head")
@_with_database
def upgrade(database: Database, revision: str) -> None:
    """Bring our tables up to REVISION (the newest unless given)."""
    before = migrate.current(database)
    migrate.upgrade(database, revision)
    _tell_change(database, before)


@db.command()
@click.argument("revision", default="-1")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_with_database
def downgrade(database: Database, revision: str, *, yes: bool) -> None:
    """Take our tables back to REVISION (one step unless given); what only newer versions hold is lost."""
    before = migrate.current(database)
    if not yes:
        click.confirm(f"Records in {database.shown_url} will be lost. Go on?", abort=True)
    migrate.downgrade(database, revision)
    _tell_change(database, before)


@db.command()
@_with_database
def current(database: Database) -> None:
    """Show the version of our tables and the newest there is."""
    present = migrate.current(database)
    click.echo(f"{present or 'nothing'} (newest: {migrate.head()}) in {database.shown_url}")


@db.command()
@_with_database
def check(database: Database) -> None:
    """Compare our tables with the models; exit status 1 when they differ."""
    differences = migrate.check(database)
    for difference in differences:
        click.echo(difference)
    if differences:
        raise click.ClickException("the tables differ from the models; run `flask stateful db upgrade` or restore them")
    click.echo("The tables are as the models say.")


@db.command()
@click.argument("revision", default="head")
@_with_database
def stamp(database: Database, revision: str) -> None:
    """Write down that our tables are at REVISION, without touching them."""
    before = migrate.current(database)
    migrate.stamp(database, revision)
    _tell_change(database, before)


@db.command()
@_with_database
def history(database: Database) -> None:
    """List all versions; the one that our tables are at is marked."""
    present = migrate.current(database)
    for step in migrate.history():
        click.echo(f"{'*' if step.revision == present else ' '} {step.revision}  {step.summary}")


def _tell_change(database: Database, before: str | None) -> None:
    now = migrate.current(database)
    click.echo(f"{before or 'nothing'} -> {now or 'nothing'} in {database.shown_url}")
