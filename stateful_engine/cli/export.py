"""`flask stateful export`: recorded data as files to learn from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from stateful_engine.cli.speaking import counted
from stateful_engine.domain import clock
from stateful_engine.errors import StatefulEngineError
from stateful_engine.services.export import ExportOptions
from stateful_engine.services.export import export as write_export
from stateful_engine.services.export_files import ExportFormat
from stateful_engine.services.export_tables import ExportKind
from stateful_engine.services.positions import duration_ms


@click.command("export")
@with_appcontext
@click.argument("kind", type=click.Choice([kind.value for kind in ExportKind]), default=ExportKind.SIGNALS.value)
@click.option(
    "--format",
    "file_format",
    type=click.Choice([word.value for word in ExportFormat]),
    default=ExportFormat.CSV.value,
    show_default=True,
    help="How to write; parquet needs the extra `parquet`.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data/export"),
    show_default=True,
    help="Folder for the files and their manifest.",
)
@click.option("--days", type=click.IntRange(min=1), help="Only what was recorded in the last so many days.")
@click.option("--since", type=click.DateTime(), help="Only from this time (UTC) on.")
@click.option("--until", type=click.DateTime(), help="Only before this time (UTC).")
@click.option("--split", help="Cut by time into shares: 0.8,0.2 (train, test) or 0.7,0.15,0.15 (and validation).")
@click.option("--embargo", help="Leave out so much at the beginning of each later part: 12h, 3d.")
@click.option(
    "--purge/--no-purge",
    default=True,
    show_default=True,
    help="Leave out of a part what became known only when the next part had begun.",
)
@click.option("--labelled-only", is_flag=True, help="Leave out what has no label yet.")
def export(kind: str, file_format: str, output: Path, days: int | None, since: datetime | None, **given: Any) -> None:
    """Write signals, recommendations, queries or interactions to files.

    Columns without a prefix were known when the record was made; post_ columns came later, y_ columns are labels.
    """
    begin = clock.now() - timedelta(days=days) if days else _utc(since)
    try:
        options = _options(begin, given)
        manifest = _write(kind, output, file_format=file_format, options=options)
    except StatefulEngineError as error:
        raise click.ClickException(error.message) from error
    _show(manifest, output)


def _options(since: datetime | None, given: Mapping[str, Any]) -> ExportOptions:
    embargo = timedelta(milliseconds=duration_ms(given["embargo"])) if given["embargo"] else timedelta(0)
    return ExportOptions(
        since=since,
        until=_utc(given["until"]),
        split=_shares(given["split"]),
        purge=given["purge"],
        embargo=embargo,
        labelled_only=given["labelled_only"],
    )


def _shares(text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(share) for share in text.split(",")) if text else ()
    except ValueError:
        raise click.UsageError("--split takes shares such as 0.7,0.15,0.15") from None


def _write(kind: str, output: Path, **options: Any) -> dict[str, Any]:
    with click.progressbar(length=0, label="Exporting", show_pos=True) as bar:

        def advance(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        return write_export(kind, output, progress=advance, **options)


def _show(manifest: Mapping[str, Any], output: Path) -> None:
    for file in manifest["files"]:
        click.echo(f"{counted(file['rows'], 'row'):>15}  {file['sha256'][:12]}  {output / file['name']}")
    for reason, count in manifest["left_out"].items():
        click.echo(f"{counted(count, 'row'):>15}  left out: {reason}")
    click.echo(f"manifest: {output / (manifest['kind'] + '-manifest.json')}")


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=timezone.utc)
