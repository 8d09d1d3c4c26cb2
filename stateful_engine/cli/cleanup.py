"""`flask stateful cleanup` and `forget-user`: delete what is old, and what names a person who asks for it."""

from __future__ import annotations

from collections.abc import Mapping

import click
from flask.cli import with_appcontext

from stateful_engine.cli.speaking import speaking
from stateful_engine.config import RETENTION_TABLES, Settings
from stateful_engine.globals import current_runtime


@click.command("cleanup")
@click.option("--days", type=click.IntRange(1, 36_500), help="Delete what is older; default: STATEFUL_RETENTION_DAYS.")
@click.option(
    "--table", "tables", multiple=True, type=click.Choice(sorted(RETENTION_TABLES)), help="Only this one, repeatable."
)
@click.option("--dry-run", is_flag=True, help="Only count what would go.")
@click.option("--rollups", is_flag=True, help="Let reports forget it, too; by default they still count what went.")
@with_appcontext
def cleanup(days: int | None, tables: tuple[str, ...], dry_run: bool, rollups: bool) -> None:
    """Delete old records, children before their parents, in batches that hold no writer up."""
    runtime = current_runtime()
    wanted = _wanted(runtime.settings, days, tables)
    with speaking():
        counts = runtime.state_manager.cleanup_tables(wanted, dry_run=dry_run, rollups=rollups)
    _show(counts, "would go" if dry_run else "deleted")


@click.command("forget-user")
@click.argument("user_id")
@click.option("--dry-run", is_flag=True, help="Only count what would change.")
@with_appcontext
def forget_user(user_id: str, dry_run: bool) -> None:
    """Delete what names the person USER_ID, and take the person out of the records that stay."""
    with speaking():
        done = current_runtime().state_manager.forget_user(user_id, dry_run=dry_run)
    _show(done.deleted, "would go" if dry_run else "deleted")
    _show(done.anonymised, "would be anonymised" if dry_run else "anonymised")


def _wanted(settings: Settings, days: int | None, tables: tuple[str, ...]) -> Mapping[str, int]:
    """Days by table."""
    if days is not None:
        return dict.fromkeys(tables or sorted(RETENTION_TABLES), days)
    kept = {name: kept for name, kept in settings.retention_days.items() if not tables or name in tables}
    if not kept:
        raise click.UsageError("say how old with --days, or set STATEFUL_RETENTION_DAYS")
    return kept


def _show(counts: Mapping[str, int], what: str) -> None:
    for name, count in counts.items():
        click.echo(f"{name:<24}{count:>10} {what}")
