"""`flask stateful check-shape FILE`: what a body would record, and why not."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from stateful_engine.cli.speaking import counted
from stateful_engine.domain.extraction import Extraction, extract
from stateful_engine.domain.mapping import value_at


@click.command("check-shape")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--request", "-r", "pairs", multiple=True, metavar="NAME=VALUE", help="A request parameter, repeatable.")
@click.option("--mapping", "-m", multiple=True, metavar="FIELD=PATH", help="Where your body keeps a field, repeatable.")
def check_shape(file: Path, pairs: tuple[str, ...], mapping: tuple[str, ...]) -> None:
    """Show which signals a response body in FILE (or - for standard input) would yield, and why others would not."""
    with click.open_file(str(file), encoding="utf-8") as stream:
        body = _parse(stream.read())
    paths = _pairs(mapping)
    found = extract(body, request=_pairs(pairs), mapping=paths or None)
    click.echo(json.dumps([_shown(asdict(signal)) for signal in found.signals], indent=2, ensure_ascii=False))
    _explain(found)
    for field, path in paths.items():
        if not _leads_somewhere(body, path, paths.get("signals", "")):
            click.echo(f"  {path}: leads nowhere in this body; correct the path of {field}", err=True)


def _leads_somewhere(body: Any, path: str, listing: str) -> bool:
    """Whether a dotted path finds something in the body, or in one of the items of its list."""
    items = value_at(body, listing) if listing else None
    return any(value_at(one, path) is not None for one in [body, *(items if isinstance(items, list) else [])])


def _explain(found: Extraction) -> None:
    click.echo(counted(len(found.signals), "signal"), err=True)
    for note in found.notes:
        click.echo(f"  {note.pointer or '/'}: {note.reason}", err=True)
    if not found.recognised:
        click.echo(
            "This shape is not recognised; give track_signal_generation a `mapping=` of dotted paths or an "
            "`extractor=` callable.",
            err=True,
        )


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.ClickException(f"the file is not JSON ({error}); save the body of one response in it") from None


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise click.BadParameter(f"{text!r} has no '='; write it as NAME=VALUE")
        pairs[name] = value
    return pairs


def _shown(signal: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in signal.items() if value not in (None, {}, [])}
