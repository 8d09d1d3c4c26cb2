"""`flask stateful openapi`: the documents of the API, and a check of any document against ChatGPT's rules."""

from __future__ import annotations

import json
from typing import Any, TextIO

import click
from flask import current_app
from flask.cli import with_appcontext

from stateful_engine.cli.speaking import counted
from stateful_engine.errors import StatefulEngineError


@click.command("openapi")
@click.option("--profile", type=click.Choice(["full", "actions"]), default="full", show_default=True)
@click.option("--include-views", is_flag=True, help="Add the tracked views of this app.")
@click.option("--check", type=click.File(encoding="utf-8"), help="Check this JSON document instead of printing ours.")
@with_appcontext
def openapi(profile: str, include_views: bool, check: TextIO | None) -> None:
    """Print the OpenAPI document of the API, or say why ChatGPT would not import the document in a file."""
    if check is not None:
        _check(check)
        return
    try:
        document = _door().openapi(profile, include_views=include_views)
    except StatefulEngineError as error:
        raise click.ClickException(error.message) from None
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _check(file: TextIO) -> None:
    try:
        document = json.load(file)
    except ValueError as error:
        raise click.ClickException(f"the file is not JSON ({error}); save the document as JSON") from None
    problems = _door().lint(document)
    for problem in problems:
        click.echo(str(problem))
    if problems:
        raise click.ClickException(f"{counted(len(problems), 'problem')}: ChatGPT Actions would not take this document")
    click.echo("ok: ChatGPT Actions can import this document")


def _door() -> Any:
    """The JSON door, reached by the app: doors do not import each other."""
    return current_app.extensions["stateful_engine_api"]
