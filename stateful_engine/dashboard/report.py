"""`flask stateful report`: the overview as one HTML file to keep, send or print; it loads nothing and runs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from flask.cli import with_appcontext
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from stateful_engine.dashboard import formats
from stateful_engine.dashboard.overview import BY_NAMES, cards, pictures
from stateful_engine.dashboard.rendering import FOLDER, STATIC
from stateful_engine.domain import clock
from stateful_engine.errors import ConfigurationError, StatefulEngineError
from stateful_engine.globals import current_runtime
from stateful_engine.services.overview import BREAKDOWNS, Overview, Question

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

STYLES = ("page.css", "charts.css")


@click.command("report")
@with_appcontext
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("report.html"), show_default=True)
@click.option("--days", type=click.IntRange(min=0), default=30, show_default=True, help="The last so many; 0 for all.")
@click.option("--symbol", help="Only this symbol.")
@click.option("--timeframe", help="Only this timeframe.")
@click.option("--engine", help="Only this engine.")
@click.option("--model", help="Only this model.")
def report(out: Path, days: int, **filters: str | None) -> None:
    """Write the overview of the signals as one HTML file."""
    given = {name: value for name, value in filters.items() if value}
    try:
        size = write(current_runtime(), out, Question(days=days, filters=given))
    except StatefulEngineError as error:
        raise click.ClickException(error.message) from None
    click.echo(f"{out}: {formats.size(size)}, open it in any browser")


def write(runtime: Runtime, path: Path, asked: Question) -> int:
    """Write the report to `path`, whole or not at all; returns its bytes.

    Raises `ConfigurationError` for a place that cannot be written.
    """
    made = page(runtime, asked).encode()
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(made)
        part.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written ({error.strerror}); name another file") from error
    return len(made)


def page(runtime: Runtime, asked: Question) -> str:
    """The report as HTML, with its styles in it; needs no request, and no dashboard."""
    found = Overview(runtime.analytics, runtime.state_manager, runtime.database).report(asked)
    return (
        _environment()
        .get_template(f"{FOLDER}report.html")
        .render(
            title=f"Signals of the last {asked.days} days" if asked.days else "All signals",
            about=[f"{name}: {value}" for name, value in asked.filters.items()] or ["all symbols, engines and models"],
            report=found["signals"],
            calibration=found["calibration"],
            cards=cards(found["signals"], found["before"]),
            pictures=pictures(found),
            breakdowns=[(BY_NAMES[name], _cells(runtime, asked, by)) for name, by in BREAKDOWNS.items()],
            made_at=clock.now().isoformat(),
            css=Markup("\n").join(Markup((STATIC / name).read_text("utf-8")) for name in STYLES),
        )
    )


def _cells(runtime: Runtime, asked: Question, by: str) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = runtime.analytics.signals(asked.days, by=by, **asked.filters)["breakdown"]
    return cells


def _environment() -> Environment:
    """Our templates by Jinja's own rules, always escaped."""
    loader = FileSystemLoader(Path(__file__).with_name("templates"))
    made = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made.globals["show"] = formats
    return made
