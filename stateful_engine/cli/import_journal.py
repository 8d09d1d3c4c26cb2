"""`flask stateful import-journal FILE`: bring an existing SQLite journal along."""

from __future__ import annotations

from pathlib import Path

import click
from flask.cli import with_appcontext

from stateful_engine.errors import StatefulEngineError
from stateful_engine.globals import current_runtime
from stateful_engine.services.import_journal import KINDS, import_journal


@click.command("import-journal")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@with_appcontext
def import_journal_command(file: Path) -> None:
    """Copy conversations, recommendations, scanner results, actions and order events from the SQLite journal FILE.

    FILE is only read. Importing it again adds what is new since, and nothing twice.
    """
    try:
        report = import_journal(file, current_runtime().database)
    except StatefulEngineError as error:
        raise click.ClickException(error.message) from None
    for table in KINDS:
        if table in report.missing:
            click.echo(f"{table:<24} not in the file")
        else:
            counts = report.imported[table], report.known[table], report.refused[table]
            later = f" ({report.updated[table]} brought up to date)" if report.updated[table] else ""
            click.echo(f"{table:<24} {counts[0]} imported, {counts[1]} known already{later}, {counts[2]} refused")
    for problem in (*report.problems, *report.broken):
        click.echo(f"  {problem}", err=True)
    if report.broken:
        raise click.exceptions.Exit(1)
