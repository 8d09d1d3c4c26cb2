"""`flask stateful ab …`: experiments from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup

from stateful_engine.cli.speaking import counted
from stateful_engine.errors import StatefulEngineError
from stateful_engine.services.experiments import Experiments

CANDLES = click.option(
    "--candles",
    type=click.Path(path_type=Path),
    help="Folder of candles by which open signals are marked to market; STATEFUL_CANDLES when left out.",
)

ab = AppGroup("ab", help="Experiments: create, start, assign, judge, declare.")


@ab.command("create")
@click.argument("name")
@click.option("--a", "variant_a", default="A", show_default=True, help="What control means, as JSON or text.")
@click.option("--b", "variant_b", default="B", show_default=True, help="What the challenger means, as JSON or text.")
@click.option("--description", default="")
@click.option("--weight-a", type=float, default=0.5, show_default=True)
@click.option("--set", "settings", multiple=True, metavar="KEY=JSON", help="Any setting of the design, repeatable.")
def create(name: str, variant_a: str, variant_b: str, **options: Any) -> None:
    """Write an experiment down."""
    design = dict(_setting(text) for text in options.pop("settings"))
    _show(lambda: _experiments().create(name, _json(variant_a), _json(variant_b), **options, **design))


@ab.command("list")
def listed() -> None:
    """The newest experiments first."""
    found = _experiments().recent()
    if not found:
        click.echo("no experiments yet; create one with `flask stateful ab create NAME`", err=True)
    for row in found:
        click.echo(f"{row['name']:<32} v{row['version']}  {row['status']:<8} winner {row['winner'] or '-'}")


@ab.command("start")
@click.argument("name")
def start(name: str) -> None:
    """Begin to serve both variants, or go on after a pause."""
    _show(lambda: _experiments().start(name))


@ab.command("pause")
@click.argument("name")
def pause(name: str) -> None:
    """Serve control to everybody for a while."""
    _show(lambda: _experiments().pause(name))


@ab.command("stop")
@click.argument("name")
def stop(name: str) -> None:
    """End an experiment and keep a snapshot of its results."""
    _show(lambda: _experiments().stop(name))


@ab.command("declare")
@click.argument("name")
@click.argument("variant", type=click.Choice(["A", "B", "none"]))
def declare(name: str, variant: str) -> None:
    """Serve one variant to everybody from now on; `none` takes it back."""
    _show(lambda: _experiments().declare(name, None if variant == "none" else variant))


@ab.command("assign")
@click.argument("name")
@click.argument("user_id")
def assign(name: str, user_id: str) -> None:
    """Which variant a person is served, and why."""
    made = _experiments().assign(name, user_id)
    click.echo(f"{made.variant} ({made.reason})")


@ab.command("results")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Every figure, as JSON.")
@CANDLES
def results(name: str, as_json: bool, candles: Path | None) -> None:
    """The verdict so far."""
    found = _called(lambda: _experiments(candles).results(name))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(f"{found['verdict']['state']}: {found['verdict']['reason']}")
    for arm, figures in found["arms"].items():
        metric = figures["metrics"]["expectancy_r"]
        mean = "unknown" if metric["mean"] is None else f"{metric['mean']:+.3f} R"
        click.echo(f"  {arm}: {counted(figures['signals'], 'signal')}, expectancy {mean} (n {metric['n']})")


@ab.command("keep")
@click.argument("name")
@CANDLES
def keep(name: str, candles: Path | None) -> None:
    """Keep the results as they are now, unchangeably."""
    _show(lambda: _experiments(candles).snapshot(name))


@ab.command("snapshots")
@click.argument("name")
def snapshots(name: str) -> None:
    """The kept results, newest first."""
    found = _called(lambda: _experiments().snapshots(name))
    if not found:
        click.echo(f"no results are kept yet; keep them with `flask stateful ab keep {name}`", err=True)
    for kept in found:
        verdict = kept["results"]["verdict"]
        click.echo(f"{kept['snapshot_id']:>6}  {kept['taken_at']}  v{kept['version']}  {verdict['state']}")


@ab.command("snapshot")
@click.argument("name")
@click.argument("snapshot_id", type=click.IntRange(min=1))
def snapshot(name: str, snapshot_id: int) -> None:
    """Results as they were when they were kept."""
    _show(lambda: _experiments().get_snapshot(name, snapshot_id))


@ab.command("plan")
@click.argument("metric")
@click.argument("mde", type=float)
@click.option("--sd", type=float, help="The deviation of one value.")
@click.option("--baseline", type=float, help="The share at present, for a share.")
@click.option("--rho", type=float, default=0.0, show_default=True)
@click.option("--signals-per-week", type=float)
def plan(metric: str, mde: float, **details: Any) -> None:
    """How many signals and weeks it takes to find a difference of MDE."""
    sd = details.pop("sd")
    _show(lambda: _experiments().plan(metric, mde, sd, **details).as_dict())


@ab.command("aa-test")
@click.argument("name")
@click.option("--metric", help="The metric to try; the first primary one when left out.")
@click.option("--runs", type=click.IntRange(100, 100_000), default=1000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@CANDLES
def self_test(name: str, metric: str | None, candles: Path | None, **options: Any) -> None:
    """Split the results of an experiment at random again and again: how often does chance look like a winner?"""
    _show(lambda: _experiments(candles).aa_test(name, metric, **options).as_dict())


def _experiments(candles: Path | None = None) -> Experiments:
    """Those of the current app; its own folder of candles counts unless another is named."""
    return Experiments(candles=candles)


def _show(call: Any) -> None:
    click.echo(json.dumps(_called(call), indent=2))


def _called(call: Any) -> Any:
    try:
        return call()
    except StatefulEngineError as error:
        raise click.ClickException(error.message) from None


def _setting(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator:
        raise click.BadParameter(f"{text!r} has no '='; write it as KEY=JSON")
    return key, _json(value)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
