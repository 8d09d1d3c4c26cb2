"""`StatefulEngine`: the one file that builds things, and builds them once per app.

What it builds is imported where it is built, so that importing the package costs a host next to nothing.
"""

from __future__ import annotations

import weakref
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Flask

from stateful_engine.config import LINK_LIFETIME, Settings
from stateful_engine.errors import ConfigurationError
from stateful_engine.events import Announce, rows_committed
from stateful_engine.globals import EXTENSION_KEY, current_runtime, find_runtime
from stateful_engine.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blinker import NamedSignal
    from flask_sqlalchemy import SQLAlchemy

    from stateful_engine.recording.recorder import Recorder
    from stateful_engine.services.analytics import Analytics
    from stateful_engine.services.integrator import EnhancedSignalIntegrator
    from stateful_engine.services.state_manager import StateManager
    from stateful_engine.storage.cache import Cache
    from stateful_engine.storage.database import Database
    from stateful_engine.tracking.callers import Callers

ClientT = TypeVar("ClientT")


@dataclass(eq=False)
class Runtime:
    """Everything the engine holds for one app; reached by `app.extensions["stateful_engine"]`."""

    settings: Settings
    guard: Guard
    database: Database
    cache: Cache
    recorder: Recorder
    callers: Callers
    state_manager: StateManager
    analytics: Analytics
    integrator: EnhancedSignalIntegrator
    announce: Announce

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until every record made so far is stored; False when that took longer than `timeout` seconds."""
        return self.recorder.flush(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Store what can be stored within `timeout` seconds, leave the rest in the spool, let go of connections."""
        stored = self.recorder.close(timeout)
        self.cache.close()
        self.database.dispose()
        return stored


class StatefulEngine:
    """Gives a Flask app memory for its signals.

    >>> engine = StatefulEngine()
    >>> def create_app():
    ...     app = Flask(__name__)
    ...     engine.init_app(app)
    ...     return app

    `db` is the host's Flask-SQLAlchemy object, when our tables shall live in the host's database. One engine object
    serves any number of apps: what belongs to an app is in its `Runtime`, never here.
    """

    def __init__(self, app: Flask | None = None, *, db: SQLAlchemy | None = None) -> None:
        self._db = db
        self._runtimes: weakref.WeakSet[Runtime] = weakref.WeakSet()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, *, db: SQLAlchemy | None = None) -> None:
        """Register with `app`; opens no connection, starts no thread and runs no query.

        Raises `ConfigurationError` for a second call on one app, for names or URLs that the app uses already, and for
        settings that cannot be meant.
        """
        from stateful_engine import api, cli, dashboard
        from stateful_engine.tracking.observation import settle_left_over

        _refuse_second_init(app)
        settings = Settings.from_mapping(app.config, instance_path=app.instance_path, debug=app.debug)
        runtime = _build_runtime(app, settings, db or self._db)
        api.register(app, runtime)
        if settings.dashboard:
            dashboard.register(app, runtime)
        cli.register(app, dashboard.COMMANDS)
        app.teardown_request(settle_left_over)
        app.extensions[EXTENSION_KEY] = runtime
        self._runtimes.add(runtime)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all records made so far are stored: of the current app, or outside an app of every one."""
        done = [runtime.flush(timeout) for runtime in self._reached()]
        return all(done)

    def close(self, timeout: float = 5.0) -> bool:
        """Flush, then let go of threads, files and connections: of the current app, or outside an app of every one."""
        done = [runtime.close(timeout) for runtime in self._reached()]
        return all(done)

    def runtime_for(self, app: Flask | None = None) -> Runtime:
        """What the engine holds for `app`; without it for the current app, or for the only one that the engine serves.

        Raises `ConfigurationError` when `app` was not registered, or when it is not clear which app is meant.
        """
        found: Runtime | None = find_runtime() if app is None else app.extensions.get(EXTENSION_KEY)
        served = [found] if found is not None else list(self._runtimes) if app is None else []
        if len(served) != 1:
            raise ConfigurationError(
                "it is not clear which app is meant; call engine.init_app(app), then name that app with app=app"
            )
        return served[0]

    def track_openai(self, client: ClientT) -> ClientT:
        """Remember what an OpenAI client answers, with tokens, cost and latency; returns the client itself.

        Inside `conversation(...)` answers become its messages, elsewhere rows of the query log.
        """
        from stateful_engine.tracking import openai

        return openai.track_openai(client)

    def record_openai(self, response: Any) -> None:
        """Remember one answer of OpenAI that the host got by itself."""
        from stateful_engine.tracking import openai

        openai.record_openai(response, current_runtime())

    def conversation(self, user_id: Any, chat_id: Any = None) -> AbstractContextManager[int]:
        """`with engine.conversation(user_id, chat_id) as conversation_id:` links what is said inside to each other."""
        from stateful_engine.tracking import openai

        return openai.conversation(current_runtime(), user_id, chat_id)

    def click_link(
        self,
        signal_id: str,
        target: str,
        *,
        user_id: Any = None,
        expires: timedelta | float | None = LINK_LIFETIME,
    ) -> str:
        """A signed link that records a CLICK on a signal and leads on to `target`, for messages, mails and pages.

        `expires` is a duration or seconds, None for never. Raises `InvalidInputError` for a target that
        `STATEFUL_LINK_TARGETS` does not allow; outside a request `STATEFUL_PUBLIC_URL` has to be set.
        """
        from stateful_engine.api import click_links

        return click_links.click_link(current_runtime(), signal_id, target, user_id=user_id, expires=expires)

    def _reached(self) -> list[Runtime]:
        runtime = find_runtime()
        return [runtime] if runtime is not None else list(self._runtimes)


def _refuse_second_init(app: Flask) -> None:
    if EXTENSION_KEY in app.extensions:
        raise ConfigurationError(
            f"stateful_engine is already registered on the app {app.name!r}; call init_app once per app"
        )


def _build_runtime(app: Flask, settings: Settings, db: SQLAlchemy | None) -> Runtime:
    from stateful_engine.recording.recorder import Recorder
    from stateful_engine.services.analytics import Analytics
    from stateful_engine.services.integrator import EnhancedSignalIntegrator
    from stateful_engine.services.state_manager import StateManager
    from stateful_engine.storage.cache import Cache
    from stateful_engine.storage.database import database_for
    from stateful_engine.tracking.callers import Callers
    from stateful_engine.tracking.instrument import instrument

    guard = Guard()
    database = database_for(settings, host_db=db, app=app)
    cache = Cache(settings.redis_url)

    def on_commit(counts: Mapping[str, int]) -> None:
        with guard("announce_commit"):
            analytics.invalidate(counts)
            rows_committed.send(app.extensions[EXTENSION_KEY], counts=dict(counts))

    def announce(event: NamedSignal, **details: Any) -> None:
        with guard("announce_event"):
            event.send(app.extensions[EXTENSION_KEY], **details)

    recorder = Recorder(database, settings, guard, on_commit=on_commit)
    analytics = Analytics(database, cache, settings, recorder)
    state_manager = StateManager(
        database, recorder, settings, analytics=analytics, on_change=on_commit, announce=announce
    )
    integrator = EnhancedSignalIntegrator(state_manager, analytics, instrument=instrument)
    return Runtime(
        settings, guard, database, cache, recorder, Callers(settings), state_manager, analytics, integrator, announce
    )
