"""Door for operators: `flask stateful …`. The commands parse and print; the rooms below do the work."""

from __future__ import annotations

from collections.abc import Iterable

from click import Command
from flask import Flask
from flask.cli import AppGroup

from stateful_engine.cli.ab import ab
from stateful_engine.cli.check_shape import check_shape
from stateful_engine.cli.cleanup import cleanup, forget_user
from stateful_engine.cli.db import db
from stateful_engine.cli.doctor import doctor
from stateful_engine.cli.export import export
from stateful_engine.cli.import_journal import import_journal_command
from stateful_engine.cli.keys import keys
from stateful_engine.cli.mcp import mcp
from stateful_engine.cli.openapi import openapi
from stateful_engine.cli.resolve import resolve
from stateful_engine.cli.rollup import rollup
from stateful_engine.cli.spool import spool
from stateful_engine.cli.webhooks import webhooks
from stateful_engine.cli.worker import worker

stateful = AppGroup("stateful", help="Look after the memory of this app: database, spool, outcomes, exports, keys.")

for _command in (
    ab,
    check_shape,
    cleanup,
    db,
    doctor,
    export,
    forget_user,
    import_journal_command,
    keys,
    mcp,
    openapi,
    resolve,
    rollup,
    spool,
    webhooks,
    worker,
):
    stateful.add_command(_command)


def register(app: Flask, more: Iterable[Command] = ()) -> None:
    """Add the group to the app's command line, with `more` commands of other doors; it is the only name we take."""
    for command in more:
        stateful.add_command(command)
    app.cli.add_command(stateful)
