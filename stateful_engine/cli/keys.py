"""`flask stateful keys`: make, list, rotate and revoke the keys of the API."""

from __future__ import annotations

from datetime import timedelta

import click
from flask.cli import with_appcontext

from stateful_engine.cli.speaking import speaking
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.globals import current_runtime
from stateful_engine.services.api_keys import DEFAULT_SCOPES, ApiKeys, NewKey


@click.group("keys")
def keys() -> None:
    """Make and end the keys with which callers of the API identify themselves."""


@keys.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    help=f"What the key may do, repeatable; default: {', '.join(DEFAULT_SCOPES)}.",
)
@click.option("--expires-days", type=click.IntRange(1, 36_500), help="Days until it ends; default: never.")
@with_appcontext
def create(name: str, scopes: tuple[str, ...], expires_days: int | None) -> None:
    """Make a key for NAME and show it, this once."""
    with speaking():
        made = _keys().create(name, scopes, expires_in=None if expires_days is None else timedelta(days=expires_days))
    _show(made)


@keys.command("list")
@with_appcontext
def list_keys() -> None:
    """Show all keys without their secrets."""
    with speaking():
        found = _keys().every()
    for key in found:
        ends = f"revoked {key['revoked_at']}" if key["revoked_at"] else f"expires {key['expires_at'] or 'never'}"
        used = f"last used {key['last_used_at'] or 'never'}"
        click.echo("  ".join([key["key_id"], key["name"], ends, used, " ".join(key["scopes"])]))
    if not found:
        click.echo("no keys yet; create one with `flask stateful keys create NAME`", err=True)


@keys.command("rotate")
@click.argument("key_id")
@click.option("--overlap-hours", type=click.FloatRange(min=0), default=24.0, show_default=True)
@with_appcontext
def rotate(key_id: str, overlap_hours: float) -> None:
    """Replace the key KEY_ID by a new one; the old one works for some hours more."""
    with speaking():
        made = _keys().rotate(key_id, overlap=timedelta(hours=overlap_hours))
    _show(made)
    click.echo(f"{key_id} works for {overlap_hours:g} hours more, unless it ends earlier.", err=True)


@keys.command("revoke")
@click.argument("key_id")
@with_appcontext
def revoke(key_id: str) -> None:
    """End the key KEY_ID now."""
    with speaking():
        _keys().revoke(key_id)
    click.echo(f"{key_id} works no longer", err=True)


def _show(made: NewKey) -> None:
    """The key alone on standard output, so that it can be piped; what goes with it beside it."""
    click.echo(made.text)
    click.echo(f"id {made.key_id}, scopes {' '.join(made.scopes)}, expires {made.expires_at or 'never'}", err=True)
    click.echo("Keep it now: it is not shown again.", err=True)


def _keys() -> ApiKeys:
    return ApiKeys(current_runtime().database)
