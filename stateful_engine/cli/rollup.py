"""`flask stateful rollup …`: make the figures of the reports again from the rows, or compare them with the rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask.cli import AppGroup

from stateful_engine.errors import StatefulEngineError
from stateful_engine.globals import current_runtime
from stateful_engine.storage import rollup_upkeep
from stateful_engine.storage.rollup_build import Progress
from stateful_engine.storage.rollup_measures import FAMILIES

rollup = AppGroup("rollup", help="Look after the figures that reports are made from.")


@rollup.command("rebuild")
@click.option("--table", type=click.Choice(sorted(FAMILIES)), multiple=True, help="Only this table; all when left out.")
def rebuild(table: tuple[str, ...]) -> None:
    """Make the figures again from the rows that are stored.

    Figures of rows that a cleanup has deleted are kept. Writers wait meanwhile; what they record waits in the spool.
    """
    runtime = current_runtime()
    families = tuple(FAMILIES[name] for name in table or sorted(FAMILIES))
    with _told_plainly(), _progress("Counting") as progress:
        runtime.recorder.catch_up()
        rollup_upkeep.rebuild(runtime.database, families, progress=progress)
    runtime.analytics.invalidate({family.source: 1 for family in families})
    click.echo(f"counted again: {', '.join(family.source for family in families)}")


@rollup.command("check")
@click.option(
    "--most", default=100, show_default=True, type=click.IntRange(min=1), help="How many differences to list."
)
def check(most: int) -> None:
    """Compare the figures with the rows; exit status 1, and a list, when any differs."""
    runtime = current_runtime()
    with _told_plainly(), _progress("Comparing") as progress:
        runtime.recorder.catch_up()
        found = rollup_upkeep.check(runtime.database, most=most, progress=progress)
    for difference in found:
        click.echo(str(difference))
    if found:
        more = " or more" if len(found) == most else ""
        raise click.ClickException(f"{len(found)}{more} figures differ; run `flask stateful rollup rebuild`")
    click.echo("the figures agree with the rows")


@contextmanager
def _progress(label: str) -> Iterator[Progress]:
    """A line that names the table and moves with its days; a plain line per table where nobody watches."""
    with click.progressbar(length=1, label=label, item_show_func=lambda table: table) as bar:

        def advance(table: str, done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos, table)

        yield advance


@contextmanager
def _told_plainly() -> Iterator[None]:
    """An operator is told what is wrong and what to do, without a traceback."""
    try:
        yield
    except StatefulEngineError as error:
        raise click.ClickException(error.message) from error
