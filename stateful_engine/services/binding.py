"""How a service finds its database: the current app's, a given engine's, or one of its own.

`Cls()` works for whichever app is current at each call. `Cls(engine)` likewise, and outside of any app for the only one
that `engine` serves; `Cls(runtime)` for one app in particular.
`Cls("data/journal.sqlite")`, `Cls(db_path=…)` and `Cls(database_url=…)` stand alone, without Flask; their tables are
made on first use.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stateful_engine.errors import ConfigurationError
from stateful_engine.globals import current_runtime
from stateful_engine.services import inputs
from stateful_engine.storage import pages
from stateful_engine.storage.database import Database
from stateful_engine.storage.pages import Page

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime, StatefulEngine
    from stateful_engine.storage.base import Base

_alone: dict[str, Database] = {}
_lock = threading.Lock()


class Bound:
    """Base of the services that a host creates itself."""

    def __init__(
        self,
        source: StatefulEngine | Runtime | Database | str | os.PathLike[str] | None = None,
        *,
        db_path: str | os.PathLike[str] | None = None,
        database_url: str | None = None,
    ) -> None:
        self._own = _given(source, db_path, database_url)
        self._app: Any = source if self._own is None else None

    @property
    def _database(self) -> Database:
        return self._own or self._runtime.database

    @property
    def _runtime(self) -> Runtime:
        """What the engine holds for the app that is meant, for services that have no database of their own."""
        if self._app is None:
            return current_runtime()
        runtime: Runtime = self._app if _is_runtime(self._app) else self._app.runtime_for()
        return runtime

    def _person(self, user_id: Any) -> str:
        """The name under which a person is stored; raises `InvalidInputError` when nobody is named."""
        return self._database.people.of(inputs.person(user_id))

    def _anybody(self, user_id: Any) -> str | None:
        """As `_person` for a person or a chat that need not be named."""
        return self._database.people.of(inputs.text(user_id))

    def _page(self, model: type[Base], limit: int, cursor: str | None, days: int, **values: Any) -> Page:
        """One page of the rows of the last `days` that hold these values, newest first; 0 means all of them."""
        since = inputs.window_start(inputs.days(days))
        with self._database.reading() as session:
            return pages.newest(session, model, cursor, inputs.limit(limit, most=100), since=since, **values)

    def _catch_up(self) -> None:
        """Before a read: let what this process recorded a moment ago be stored."""
        if self._own is None:
            self._runtime.recorder.catch_up()


def _given(source: Any, db_path: Any, database_url: str | None) -> Database | None:
    named = [value for value in (source, db_path, database_url) if value is not None]
    if len(named) > 1:
        raise ConfigurationError("give one of an engine, db_path= and database_url=, not several")
    if database_url is not None:
        return _standing_alone(database_url)
    if isinstance(source, Database):
        return source
    path = source if isinstance(source, (str, os.PathLike)) else db_path
    if path is not None:
        return _standing_alone("sqlite:///" + str(Path(path).absolute()))
    if source is not None and not (hasattr(source, "runtime_for") or _is_runtime(source)):
        raise ConfigurationError(f"a {type(source).__name__} is no engine; give the StatefulEngine, or a path")
    return None


def _is_runtime(source: Any) -> bool:
    return hasattr(source, "state_manager")


def _standing_alone(url: str) -> Database:
    """One pool per address, however many services are made for it."""
    with _lock:
        if url not in _alone:
            _alone[url] = Database(url, auto_migrate=True)
        return _alone[url]
