"""`flask stateful doctor`: what is configured, what is reachable, what is missing, and what to do about it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from flask.cli import with_appcontext

from stateful_engine.cli.speaking import counted
from stateful_engine.errors import StatefulEngineError, StorageUnavailableError
from stateful_engine.globals import current_runtime
from stateful_engine.services.webhooks import Webhooks

EXTRAS = {
    "analysis": "numpy",
    "stats": "scipy",
    "pandas": "pandas",
    "parquet": "pyarrow",
    "charts": "matplotlib",
    "telegram": "telegram",
    "async": "asgiref",
    "ccxt": "ccxt",
    "prices": "genai_prices",
}

UNKNOWN = "not known before the database answers"
AUTH = {
    "auto": "auto: open in debug and testing, API keys otherwise",
    "api_key": "api_key: callers need an API key",
    "none": "none: open to everybody who can reach it",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: `ok` is None for what is merely said."""

    subject: str
    ok: bool | None
    detail: str


@click.command("doctor")
@with_appcontext
def doctor() -> None:
    """Report what is configured, what is reachable and what is missing; exit status 1 when something is wrong."""
    findings = list(_examine())
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        mark = {True: "ok     ", False: "PROBLEM", None: "       "}[finding.ok]
        click.echo(f"{mark} {finding.subject:<{width}}  {finding.detail}")
    if any(finding.ok is False for finding in findings):
        raise SystemExit(1)


def _examine() -> Iterator[Finding]:
    settings = current_runtime().settings
    yield Finding("enabled", settings.enabled or None, str(settings.enabled).lower())
    database = _attempt("database", _database)
    yield database
    yield _attempt("schema", _schema) if database.ok else Finding("schema", None, UNKNOWN)
    yield _attempt("redis", _redis)
    yield _attempt("stream", _stream)
    yield _attempt("spool", _spool)
    yield _attempt("webhooks", _webhooks) if database.ok else Finding("webhooks", None, UNKNOWN)
    yield Finding(
        "auth", None, AUTH.get(settings.auth, "") if isinstance(settings.auth, str) else "callable of the host"
    )
    yield Finding("public url", None, settings.public_url or "not set; ChatGPT Actions need STATEFUL_PUBLIC_URL")
    yield Finding("extras", None, _extras())


def _attempt(subject: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except StatefulEngineError as error:
        return Finding(subject, False, error.message)


def _database() -> Finding:
    database = current_runtime().database
    named = f"{database.dialect}: {database.shown_url}"
    try:
        database.ping()
    except StorageUnavailableError as error:
        reason = error.message.partition(";")[0]
        return Finding(
            "database", False, f"{named}: {reason}; start it, or correct its address (STATEFUL_DATABASE_URL)"
        )
    return Finding("database", True, named)


def _schema() -> Finding:
    from stateful_engine.storage import migrate

    database = current_runtime().database
    present, newest = migrate.current(database), migrate.head(database)
    if present != newest:
        return Finding(
            "schema", False, f"at {present or 'nothing'}, newest is {newest}: run `flask stateful db upgrade`"
        )
    return Finding("schema", True, f"at {present}, the newest")


def _redis() -> Finding:
    runtime = current_runtime()
    if runtime.settings.redis_url is None:
        return Finding("redis", None, "not configured; cache and limits work in process")
    reachable = runtime.cache.reachable()
    return Finding("redis", reachable, "reachable" if reachable else "away: check STATEFUL_REDIS_URL and the server")


def _stream() -> Finding:
    runtime = current_runtime()
    if runtime.settings.stream_url is None:
        return Finding("stream", None, "not configured; each process writes to the database itself")
    lag = runtime.recorder.status().stream_lag
    if lag is None:
        return Finding("stream", False, "away: check STATEFUL_STREAM_URL and the server")
    return Finding("stream", True, f"{counted(lag, 'record waits', 'records wait')} for `flask stateful worker`")


def _spool() -> Finding:
    runtime = current_runtime()
    folder = runtime.settings.spool_dir
    nearest = _nearest(folder)
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        return Finding("spool", False, f"{folder} is not writable: change its owner or set STATEFUL_SPOOL_DIR")
    status = runtime.recorder.status()
    detail = f"{folder}: {status.pending_records} pending, {status.rejected} rejected, {status.dropped} dropped"
    return Finding("spool", status.dropped == 0 and status.rejected == 0, detail)


def _nearest(folder: Path) -> Path:
    """The folder, or the one above it that exists already, in which it would be made."""
    return next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())


def _webhooks() -> Finding:
    from stateful_engine.storage import migrate

    runtime = current_runtime()
    if migrate.current(runtime.database) != migrate.head(runtime.database):
        return Finding("webhooks", None, "not known before the schema is the newest")
    found = Webhooks(runtime.database, runtime.settings).every()
    waiting, resting = sum(one["pending"] for one in found), sum(one["disabled_at"] is not None for one in found)
    if not found:
        return Finding("webhooks", None, "none")
    told = f"{counted(waiting, 'message waits', 'messages wait')} for `flask stateful webhooks deliver`"
    detail = f"{len(found)}, {resting} disabled; {told}"
    return Finding("webhooks", resting == 0, detail)


def _extras() -> str:
    missing = [name for name, module in EXTRAS.items() if importlib.util.find_spec(module) is None]
    return "all installed" if not missing else f"not installed: {', '.join(missing)} (pip install 'stateful_engine[…]')"
