"""`flask stateful spool …`: what waits in the local buffer, and how to get it moving."""

from __future__ import annotations

from pathlib import Path

import click
from flask.cli import AppGroup

from stateful_engine.cli.speaking import counted
from stateful_engine.domain import clock
from stateful_engine.globals import current_runtime
from stateful_engine.recording.inspection import SegmentReport, survey
from stateful_engine.recording.rejects import Rejects

spool = AppGroup("spool", help="Look into the local buffer of records and empty it.")


@spool.command("status")
def status() -> None:
    """Show what waits in the spool, for how long, and which records the database refused."""
    folder = current_runtime().settings.spool_dir
    click.echo(f"spool       {folder}")
    reports = list(survey(folder))
    for report in reports:
        click.echo(f"  {_described(report)}")
    click.echo(f"pending     {counted(sum(report.pending_records for report in reports), 'record')}")
    click.echo(f"            {counted(sum(report.pending_bytes for report in reports), 'byte')}")
    click.echo(f"oldest      {_oldest(reports)}")
    reasons = Rejects(folder).reasons()
    click.echo(f"rejected    {counted(sum(reasons.values()), 'record')}")
    for reason, count in sorted(reasons.items()):
        click.echo(f"  {count} x {reason}")
    if reasons:
        click.echo("Mend the cause, then run `flask stateful spool retry-rejected`.")


@spool.command("drain")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to keep trying.")
def drain(timeout: float) -> None:
    """Store what processes that are gone have left behind; exit status 1 when something is left.

    Files of living processes are theirs: they store them themselves.
    """
    runtime = current_runtime()
    before = _waiting(runtime.settings.spool_dir)
    done = runtime.recorder.drain(timeout)
    runtime.recorder.close(0)
    left = _waiting(runtime.settings.spool_dir)
    click.echo(f"stored {counted(before - left, 'record')}, {left} left")
    if not done or left:
        raise click.ClickException(
            "the spool is not empty; see whether the database (or the stream) answers: `flask stateful doctor`"
        )


@spool.command("retry-rejected")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait for the database.")
def retry_rejected(timeout: float) -> None:
    """Try again to store the records that the database refused; those it still refuses are set aside again."""
    runtime = current_runtime()
    count = runtime.recorder.retry_rejected()
    done = runtime.recorder.flush(timeout)
    again = Rejects(runtime.settings.spool_dir).count()
    click.echo(f"tried {counted(count, 'record')} again, {counted(again, 'is', 'are')} still refused")
    if not done:
        raise click.ClickException("the database did not take them in time; they wait in the spool")


def _waiting(folder: Path) -> int:
    """Records in files that no living process owns."""
    return sum(report.pending_records for report in survey(folder) if not report.owned)


def _described(report: SegmentReport) -> str:
    owner = "in use" if report.owned else "left behind"
    if not report.readable:
        return f"{report.name}  {owner}, of another version of stateful_engine: upgrade to read it"
    damaged = f", {report.damaged} damaged" if report.damaged else ""
    waiting = f"{counted(report.pending_records, 'record')}, {counted(report.pending_bytes, 'byte')}"
    return f"{report.name}  {owner}, {waiting}{damaged}"


def _oldest(reports: list[SegmentReport]) -> str:
    moments = [report.oldest_us for report in reports if report.oldest_us is not None]
    if not moments:
        return "nothing waits"
    return f"{max(0.0, (clock.epoch_us() - min(moments)) / 1e6):.1f} s"
