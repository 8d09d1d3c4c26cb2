"""`flask stateful resolve`: find in candles how the open signals ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from stateful_engine.config import CandlesSetting
from stateful_engine.domain.barrier_rules import AmbiguityPolicy, EntryMode, GapFill
from stateful_engine.errors import StatefulEngineError
from stateful_engine.globals import current_runtime
from stateful_engine.services.outcomes import Progress, ResolutionReport, resolve_outcomes


@click.command("resolve")
@with_appcontext
@click.option(
    "--candles",
    type=click.Path(path_type=Path),
    help="Folder with files such as BTCUSDT-1H.csv.gz; STATEFUL_CANDLES when left out.",
)
@click.option(
    "--policy",
    type=click.Choice([word.value for word in AmbiguityPolicy]),
    default=AmbiguityPolicy.PESSIMISTIC.value,
    show_default=True,
    help="Which barrier comes first when one candle holds both and no finer candles tell.",
)
@click.option("--expiry", help="How long a signal lives that does not say so itself: 90m, 12h, 3d, 2w.")
@click.option(
    "--entry-mode",
    type=click.Choice([word.value for word in EntryMode]),
    default=EntryMode.AT_SIGNAL.value,
    show_default=True,
    help="When a signal becomes a position.",
)
@click.option("--limit-valid-candles", type=click.IntRange(min=1), help="How many candles a limit waits to be filled.")
@click.option("--strict-tp", is_flag=True, help="A take profit counts only when the price goes beyond it.")
@click.option(
    "--tp-gap-fill",
    type=click.Choice([word.value for word in GapFill]),
    default=GapFill.OPEN.value,
    show_default=True,
    help="The price of a take profit when a candle opens beyond it.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be written.")
def resolve(candles: Path | None, **options: Any) -> None:
    """Close the open signals whose stop loss, take profit or expiry was reached; the others stay open.

    A run can be stopped and repeated: signals that have an outcome are left alone.
    """
    source = candles or current_runtime().settings.candles
    if source is None:
        raise click.UsageError("name a folder with --candles, or set STATEFUL_CANDLES")
    try:
        report = _resolve(source, options)
    except StatefulEngineError as error:
        raise click.ClickException(error.message) from error
    _show(report)


def _resolve(source: CandlesSetting, options: Mapping[str, Any]) -> ResolutionReport:
    with click.progressbar(length=0, label="Resolving", show_pos=True) as bar:

        def advance(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        watch: Progress = advance
        return resolve_outcomes(source, progress=watch, **options)


def _show(report: ResolutionReport) -> None:
    verb = "would be closed" if report.dry_run else "closed"
    click.echo(f"{verb:<16}{report.resolved:>8}")
    for outcome, count in report.outcomes.most_common():
        click.echo(f"  {outcome:<14}{count:>8}")
    click.echo("by              " + (", ".join(f"{n} {why}" for why, n in report.exit_reasons.most_common()) or "-"))
    click.echo(f"ambiguous       {report.ambiguous:>8}")
    click.echo(f"with data gaps  {report.data_gaps:>8}")
    click.echo(f"still open      {sum(report.left_open.values()):>8}")
    for reason, count in report.left_open.most_common():
        click.echo(f"  {count:>8}  {reason}")
