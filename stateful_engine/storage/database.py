"""Whose database: which engine our tables live in, and transactions on it that never touch a host's own.

Nothing is opened before the first use. On a host's engine we leave no trace: our schema is named by an execution
option, there are no listeners, no PRAGMAs and no `search_path`. Errors of the driver come out as errors of ours: an
outage is `StorageUnavailableError`, missing or old tables are `SchemaError`, and whatever concerns the data stays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from stateful_engine.config import REDACTED_KEYS
from stateful_engine.domain.pseudonyms import AS_GIVEN, People
from stateful_engine.errors import ConfigurationError, StatefulEngineError
from stateful_engine.installation import people_of
from stateful_engine.storage import engines, faults, forks, rollups, snapshots, time_limits

if TYPE_CHECKING:
    from flask import Flask
    from flask_sqlalchemy import SQLAlchemy

    from stateful_engine.config import Settings

EngineFactory = Callable[[], "Engine | None"]

DEFAULT_SCHEMA = "stateful_engine"


class Database:
    """Our namespace in one database; constructing it opens nothing.

    `url` is any SQLAlchemy URL for an own engine and pool. `engine_factory` is asked first, on first use: the engine of
    a host that it returns is used with the host's pool; None means the `url`. `auto_migrate` brings our tables up to
    date on first use; None means on SQLite only.
    """

    def __init__(
        self,
        url: str | URL | None = None,
        *,
        schema: str = DEFAULT_SCHEMA,
        engine_factory: EngineFactory | None = None,
        auto_migrate: bool | None = None,
        people: People = AS_GIVEN,
        secret_keys: frozenset[str] = REDACTED_KEYS,
    ) -> None:
        if url is None and engine_factory is None:
            raise ConfigurationError("a database needs a URL or an engine; set STATEFUL_DATABASE_URL")
        self._url = None if url is None else engines.normal_url(url)
        self._named_schema = schema
        self._engine_factory = engine_factory
        self._auto_migrate = auto_migrate
        self._lock = threading.RLock()
        self._writing = threading.RLock()
        self._base: Engine | None = None
        self._engine: Engine | None = None
        self._is_checked = False
        self.people = people
        """How people are named in these tables."""
        self.secret_keys = secret_keys
        """Keys of JSON objects whose values do not get into these tables."""
        self.own = engine_factory is None
        """Whether the engine is ours; known for certain once it was used."""
        forks.remember(self)

    # What it is

    @property
    def engine(self) -> Engine:
        """Our view of the engine: the same pool, with our schema in its execution options."""
        if self._engine is None:
            with self._lock:
                if self._engine is None:
                    self._base = self._made()
                    self._engine = engines.with_our_schema(self._base, self._named_schema, own=self.own)
        return self._engine

    @property
    def dialect(self) -> str:
        """The kind of database: `sqlite`, `postgresql`, …"""
        return self.engine.dialect.name

    @property
    def schema(self) -> str | None:
        """The schema that holds our tables; None on SQLite."""
        return None if self.dialect == "sqlite" else self._named_schema

    @property
    def auto_migrate(self) -> bool:
        """Whether the first use brings our tables up to date."""
        return self.dialect == "sqlite" if self._auto_migrate is None else self._auto_migrate

    @property
    def shown_url(self) -> str:
        """The address without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    def qualified(self, table: str) -> str:
        """The quoted name of a table of ours, for text SQL and COPY, which no schema translation reaches."""
        quote = self.engine.dialect.identifier_preparer.quote
        return quote(table) if self.schema is None else f"{quote(self.schema)}.{quote(table)}"

    # What can be done with it

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that commits at the end of the block and rolls back when it raises; it may write from its start.

        On SQLite it holds the write lock throughout (BEGIN IMMEDIATE).
        """
        with self.connection() as connection, Session(connection, expire_on_commit=False) as session:
            yield session
            session.flush()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that never commits and sees one moment only, so that figures from several questions fit together.

        It ends with `QueryTimeoutError` where reads are limited.
        """
        with faults.translated(), self.ready_engine().connect() as connection:
            snapshots.begin(connection)
            session = Session(connection, autoflush=False, expire_on_commit=False)
            with time_limits.limited(connection), session:
                yield session

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection inside a transaction that commits at the end of the block, for statements without the ORM."""
        engine = self.ready_engine()
        with self._turn_to_write(engine), faults.translated(), engine.begin() as connection:
            if engine.dialect.name == "sqlite":
                engines.begin_immediate(connection, own=self.own)
            with rollups.kept_in_step(connection):
                yield connection

    @contextmanager
    def _turn_to_write(self, engine: Engine) -> Iterator[None]:
        """On SQLite the threads of a process write one after the other, so that the file is asked for by one only.

        Whoever waited too long for a turn asks for the file all the same, as threads of other processes do.
        """
        if engine.dialect.name != "sqlite":
            yield
            return
        turn = self._writing
        has_turn = turn.acquire(timeout=engines.BUSY_MILLISECONDS / 1000)
        try:
            yield
        finally:
            if has_turn:
                turn.release()

    @contextmanager
    def joined(self, session: Session) -> Iterator[Connection]:
        """The connection of a host's session, with our schema for the time of the block; nothing is committed.

        Raises `ConfigurationError` when the session works on another database than ours.
        """
        self.ready_engine()
        connection = session.connection()
        if not engines.is_same_database(connection.engine, self.engine):
            raise ConfigurationError(
                "session= belongs to another database than ours, and no transaction spans two; leave session= out, or "
                "let our tables live in that database (StatefulEngine(db=...), STATEFUL_BIND_KEY)"
            )
        before = connection.get_execution_options().get("schema_translate_map")
        try:
            with faults.translated():
                connection.execution_options(schema_translate_map=engines.translation(self.schema))
                with rollups.noted(connection):
                    yield connection
        finally:
            connection.execution_options(schema_translate_map=before)

    def ready_engine(self) -> Engine:
        """The engine, after making sure once that our tables are there and of this version.

        Raises `SchemaError` naming the command when they are not and `STATEFUL_AUTO_MIGRATE` is off.
        """
        if not self._is_checked:
            from stateful_engine.storage import migrate

            with self._lock:
                if not self._is_checked:
                    migrate.ensure(self)
                    self._is_checked = True
        return self.engine

    def ping(self) -> None:
        """Ask the database for an answer; raises `StorageUnavailableError` when it gives none."""
        with faults.translated(), self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def require_ready(self) -> None:
        """Raise `StorageUnavailableError` or `SchemaError` unless records can be stored now."""
        from stateful_engine.storage import migrate

        self.ping()
        migrate.require_current(self)

    def ready(self) -> bool:
        """Whether records can be stored now: the database answers and our tables are of this version."""
        try:
            self.require_ready()
        except StatefulEngineError:
            return False
        return True

    def forget_check(self) -> None:
        """Look at the version of our tables again before the next use."""
        self._is_checked = False

    def dispose(self) -> None:
        """Let go of our connections; a host's pool is the host's. The next use opens new ones."""
        with self._lock:
            if self._base is not None and self.own:
                self._base.dispose()

    def after_fork(self) -> None:
        """In a forked child: leave the parent's sockets alone and start with a pool of its own."""
        self._lock = threading.RLock()
        self._writing = threading.RLock()
        if self._base is not None:
            self._base.dispose(close=False)

    def _made(self) -> Engine:
        given = self._engine_factory() if self._engine_factory is not None else None
        self.own = given is None
        if given is not None:
            return given
        if self._url is None:
            raise ConfigurationError("the host gave no engine and there is no URL; set STATEFUL_DATABASE_URL")
        return engines.own_engine(self._url)


def database_for(settings: Settings, *, host_db: SQLAlchemy | None = None, app: Flask | None = None) -> Database:
    """The database of an app by its settings and its Flask-SQLAlchemy object; opens nothing.

    An own URL wins; then the bind that `STATEFUL_BIND_KEY` names; then the host's engine if it is no SQLite; else an
    own SQLite file in the instance folder.
    """
    keywords: dict[str, Any] = {"schema": settings.schema, "auto_migrate": settings.auto_migrate}
    keywords |= {"people": people_of(settings), "secret_keys": settings.redact}
    if settings.database_url is not None:
        return Database(settings.database_url, **keywords)
    own_file = _own_file(settings.instance_path)
    if host_db is None:
        _refuse_bind_without_host(settings.bind_key)
        return Database(own_file, **keywords)
    return Database(own_file, engine_factory=_host_engine(host_db, app, settings.bind_key), **keywords)


def _own_file(folder: Path) -> URL:
    return engines.sqlite_url(folder.absolute() / "stateful_engine.sqlite")


def _refuse_bind_without_host(bind_key: str | None) -> None:
    if bind_key is not None:
        raise ConfigurationError(
            f"STATEFUL_BIND_KEY={bind_key!r} names a bind of the host's Flask-SQLAlchemy, which was not given; call "
            "init_app(app, db=db), or set STATEFUL_DATABASE_URL instead"
        )


def _host_engine(host_db: SQLAlchemy, app: Flask | None, bind_key: str | None) -> EngineFactory:
    """How the engine of the host is found, on first use: by then the host has set up its binds."""

    def find() -> Engine | None:
        known = _engines_of(host_db, app)
        if bind_key is not None and bind_key not in known:
            raise ConfigurationError(
                f"STATEFUL_BIND_KEY={bind_key!r} is not among SQLALCHEMY_BINDS; add it there or correct the key"
            )
        engine: Engine | None = known.get(bind_key)
        is_shareable = bind_key is not None or (engine is not None and engine.dialect.name != "sqlite")
        return engine if is_shareable else None

    return find


def _engines_of(host_db: SQLAlchemy, app: Flask | None) -> Any:
    if app is None:
        return host_db.engines
    try:
        with app.app_context():
            return dict(host_db.engines)
    except (KeyError, RuntimeError, SQLAlchemyError) as error:
        raise ConfigurationError(
            f"the Flask-SQLAlchemy object given as db= is not set up for this app ({type(error).__name__}); "
            "call db.init_app(app)"
        ) from error
