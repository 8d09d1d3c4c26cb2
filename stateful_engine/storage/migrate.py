"""Bringing our tables to a version: the same scripts from code, from `flask stateful db` and from `flask db`.

The scripts stand inside the installed package (`stateful_engine/migrations`), or beside it in a checkout
(`migrations/`). They run on a connection of their own, in one transaction together with the lock that keeps several
starting processes apart, so that a migration is done wholly or not at all. Alembic is imported on use.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, inspect, text

from stateful_engine.errors import ConfigurationError, InvalidInputError, SchemaError
from stateful_engine.logging import logger
from stateful_engine.storage import engines, faults, forks

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext
    from alembic.script import Script, ScriptDirectory

    from stateful_engine.storage.database import Database

VERSION_TABLE = "stateful_engine_version"
UPGRADE_COMMAND = "flask stateful db upgrade"

_LOCK_SECONDS = 60
_one_at_a_time = forks.ForgetfulLock()
"""Scripts reach their connection through `alembic.op`, of which a process has one: apps must not migrate at once."""

_FILE_NAME = re.compile(r"v([0-9]{4})_\w+\.py")


@dataclass(frozen=True, slots=True)
class Revision:
    """One step in the history of our tables."""

    revision: str
    down_revision: str | None
    summary: str


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring our tables up to `revision`; makes the schema on PostgreSQL when it is missing.

    Raises `ConfigurationError` when a table of the host stands where ours would be made.
    """
    with _migrating(database) as (connection, scripts):
        _refuse_foreign_tables(database, connection, scripts, revision)
        _command("upgrade", database, connection, revision)
    database.forget_check()


def downgrade(database: Database, revision: str = "-1") -> None:
    """Take our tables back to `revision`; what only newer versions hold is lost."""
    with _migrating(database) as (connection, _):
        _command("downgrade", database, connection, revision)
    database.forget_check()


def stamp(database: Database, revision: str = "head") -> None:
    """Write down that our tables are at `revision`, without touching them."""
    with _migrating(database) as (connection, _):
        _command("stamp", database, connection, revision)
    database.forget_check()


def current(database: Database) -> str | None:
    """The revision that our tables are at; None when there are none."""
    with faults.translated(), database.engine.connect() as connection:
        return _current(database, connection)


def head(database: Database | None = None) -> str:  # noqa: ARG001
    """The newest revision that this version of the package knows; read from the names of the scripts."""
    found = [match[1] for path in scripts_folder().joinpath("versions").iterdir() if (match := _matched(path))]
    return max(found)


def history() -> list[Revision]:
    """All revisions, the oldest first."""
    walked = [_described(script) for script in _scripts().walk_revisions()]
    return walked[::-1]


def check(database: Database) -> list[str]:
    """What differs between our models and the tables in the database, one line each; empty when nothing does."""
    require_current(database)
    with faults.translated(), _search_path_set(database) as connection:
        from alembic.autogenerate import compare_metadata

        differences = compare_metadata(_context(connection, database), _metadata())
    return [_line(difference) for difference in differences]


def ensure(database: Database) -> None:
    """Make sure before the first use that our tables are usable: migrate if that is wanted, else say what is missing.

    Raises `SchemaError` naming the command. Tables that are newer than this version are taken as they are, so that a
    host may migrate first and restart its workers afterwards.
    """
    if not database.auto_migrate:
        require_current(database)
    elif _is_older(current(database)):
        upgrade(database)


def require_current(database: Database) -> None:
    """Raise `SchemaError` when our tables are missing or older than this version."""
    present, newest = current(database), head()
    if present is None:
        raise _not_ready(f"the tables of stateful_engine are missing in {database.shown_url}")
    if _is_older(present):
        raise _not_ready(f"the tables of stateful_engine are at version {present}, this package needs {newest}")
    if present > newest:
        logger.warning("our tables are at version %s, newer than this package knows (%s)", present, newest)


def scripts_folder() -> Path:
    """Where the migration scripts are: inside the package when it is installed, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise ConfigurationError("the migration scripts are missing; reinstall stateful_engine")


# Run by migrations/env.py


def run_environment(context: EnvironmentContext) -> None:
    """What `env.py` does: run the wanted migrations on the connection we gave, or for `flask db` on one of our own."""
    given = context.config.attributes.get("stateful_engine")
    if given is not None:
        _run(context, *given)
        return
    from stateful_engine.globals import current_runtime

    database = current_runtime().database
    if context.is_offline_mode():
        _run_offline(context, database)
        return
    with _migrating(database) as (connection, _):
        _run(context, database, connection)
    database.forget_check()


def _run(context: EnvironmentContext, database: Database, connection: Connection) -> None:
    context.configure(connection=connection, **_options(database))
    context.run_migrations()


def _run_offline(context: EnvironmentContext, database: Database) -> None:
    """`--sql`: print the statements instead of running them."""
    context.configure(dialect_name=database.dialect, literal_binds=True, **_options(database))
    with context.begin_transaction():
        if database.schema is not None:
            context.execute(f'CREATE SCHEMA IF NOT EXISTS "{database.schema}"')
            context.execute(f'SET LOCAL search_path TO "{database.schema}"')
        context.run_migrations()


def compress(*columns: str) -> None:
    """Inside a migration: let PostgreSQL compress these columns (`table.column`) with lz4 where the server has it.

    For long texts and `json` this makes writing about three times as fast as the server's default.
    """
    from alembic import op

    if op.get_context().as_sql or op.get_bind().dialect.name != "postgresql":
        return
    has_lz4 = op.get_bind().scalar(
        text("SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'")
    )
    for table, _, column in (name.partition(".") for name in columns if has_lz4):
        op.execute(f'ALTER TABLE "{table}" ALTER COLUMN "{column}" SET COMPRESSION lz4')


# How it is done


def _command(name: str, database: Database, connection: Connection, revision: str) -> None:
    from alembic import command

    config = _config()
    config.attributes["stateful_engine"] = (database, connection)
    with _one_at_a_time, _known_revisions():
        getattr(command, name)(config, revision)


@contextmanager
def _known_revisions() -> Iterator[None]:
    """A revision that Alembic cannot find is a mistake of the caller."""
    from alembic.script.revision import RevisionError
    from alembic.util.exc import CommandError

    try:
        yield
    except (CommandError, RevisionError) as error:
        raise InvalidInputError(f"{error}; see `flask stateful db history` for the revisions there are") from error


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config())


def _options(database: Database) -> dict[str, Any]:
    return {
        "target_metadata": _metadata(),
        "version_table": VERSION_TABLE,
        "version_table_schema": database.schema,
        "compare_type": True,
        "compare_server_default": True,
        "include_name": _is_ours,
        "render_as_batch": database.dialect == "sqlite",
    }


def _is_ours(name: str | None, kind: str, parents: Any) -> bool:  # noqa: ARG001
    """Tables of the host that share a SQLite file with ours are none of our business."""
    return kind != "table" or name in _metadata().tables


def _metadata() -> Any:
    return importlib.import_module("stateful_engine.storage.tables").metadata


def _context(connection: Connection, database: Database) -> MigrationContext:
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection, opts=_options(database))


@contextmanager
def _migrating(database: Database) -> Iterator[tuple[Connection, ScriptDirectory]]:
    """A connection of its own in a transaction that holds the lock of migrations, in our schema."""
    scripts = _scripts()
    with faults.translated(), _search_path_set(database, lock=True) as connection:
        yield connection, scripts


@contextmanager
def _search_path_set(database: Database, *, lock: bool = False) -> Iterator[Connection]:
    engine = _private_engine(database)
    try:
        with engine.begin() as connection:
            if database.dialect == "sqlite":
                _prepare_sqlite(connection, lock=lock)
            else:
                _prepare_schema(connection, database, lock=lock)
            yield connection
    finally:
        engine.dispose()


def _private_engine(database: Database) -> Engine:
    """Without a pool, so that nothing of a migration stays behind; it logs in just as the host's engine does."""
    engine = database.engine
    if database.own:
        return engines.own_engine(engine.url, poolclass=NullPool)
    return create_engine(engine.url, poolclass=NullPool, creator=engine.pool._creator)


def _prepare_sqlite(connection: Connection, *, lock: bool) -> None:
    if lock:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {_LOCK_SECONDS * 1000}")
        engines.begin_immediate(connection)


def _prepare_schema(connection: Connection, database: Database, *, lock: bool) -> None:
    """The lock, our schema, and a search path that ends with this transaction; the connection is ours alone."""
    schema = database.schema or ""
    quoted = connection.dialect.identifier_preparer.quote(schema)
    if lock:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"stateful_engine.{schema}"})
        _make_schema(connection, schema, quoted)
    connection.execute(text(f"SET LOCAL search_path TO {quoted}"))
    connection.dialect.default_schema_name = schema


def _make_schema(connection: Connection, schema: str, quoted: str) -> None:
    """Look first: CREATE SCHEMA IF NOT EXISTS needs a right on the database even where the schema exists."""
    exists = connection.scalar(text("SELECT 1 FROM pg_namespace WHERE nspname = :name"), {"name": schema})
    if exists:
        return
    allowed = connection.scalar(text("SELECT has_database_privilege(current_database(), 'CREATE')"))
    if not allowed:
        raise ConfigurationError(
            f"the schema {schema} is missing and this role may not create it; let an administrator run "
            f"CREATE SCHEMA {quoted} AUTHORIZATION {connection.scalar(text('SELECT quote_ident(current_user)'))}"
        )
    connection.execute(text(f"CREATE SCHEMA {quoted}"))


def _refuse_foreign_tables(database: Database, connection: Connection, scripts: ScriptDirectory, revision: str) -> None:
    """A table that a pending revision is going to make, and that is there already, belongs to somebody else."""
    present = _context(connection, database).get_current_revision() or "base"
    with _known_revisions():
        pending = list(scripts.iterate_revisions(revision, present))
    wanted = {table for script in pending for table in getattr(script.module, "TABLES", ())}
    foreign = sorted(wanted & set(inspect(connection).get_table_names()))
    if foreign:
        remedy = (
            "give us a SQLite file of our own by STATEFUL_DATABASE_URL or another STATEFUL_BIND_KEY"
            if database.dialect == "sqlite"
            else "name another schema by STATEFUL_SCHEMA"
        )
        raise ConfigurationError(
            f"{database.shown_url} holds a table {foreign[0]!r} that is not ours and that we would have to make; "
            f"{remedy} (if the tables are ours after all, run `flask stateful db stamp`)"
        )


def _current(database: Database, connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE, schema=database.schema):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {database.qualified(VERSION_TABLE)}")).scalar()
    return None if found is None else str(found)


def _is_older(present: str | None) -> bool:
    return present is None or present < head()


def _not_ready(what: str) -> SchemaError:
    return SchemaError(f"{what}; run `{UPGRADE_COMMAND}`", retry_after=faults.RETRY_SECONDS)


def _matched(path: Path) -> re.Match[str] | None:
    return _FILE_NAME.fullmatch(path.name)


def _described(script: Script) -> Revision:
    down = script.down_revision
    return Revision(script.revision, down if isinstance(down, str) else None, script.doc or "")


def _line(difference: Any) -> str:
    """One difference as Alembic reports it, in one line."""
    if isinstance(difference, list):
        return "; ".join(_line(part) for part in difference)
    return " ".join(str(part) for part in difference if part is not None and part != {})
