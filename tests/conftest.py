"""Fixtures of all tests. What takes `database_url`, also through `app`, runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings as hypothesis_settings

from tests.databases import PostgresTemplate, SqliteTemplate
from tests.factories import FakeClock, shared_folder
from tests.server_programs import DATABASE_VARIABLE, REDIS_VARIABLE
from tests.servers import address

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from stateful_engine import StatefulEngine
    from stateful_engine.extension import Runtime

    AppMaker = Callable[..., Flask]

BOTH = ("sqlite", "postgresql")


def pytest_configure() -> None:
    """The developer's own Flask environment must not decide a test; slow machines must not either."""
    for name in [name for name in os.environ if name.startswith("FLASK_")]:
        del os.environ[name]
    hypothesis_settings.register_profile("house", deadline=None, derandomize="CI" in os.environ)
    hypothesis_settings.load_profile("house")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Truth tests whose cases lie in `../shared` collect nothing in a clone without it, instead of being skipped."""
    config.hook.pytest_deselected(items=[item for item in items if _has_no_cases(item)])
    items[:] = [item for item in items if not _has_no_cases(item)]


def _has_no_cases(item: pytest.Item) -> bool:
    reasons = (str(mark.kwargs.get("reason", "")) for mark in item.iter_markers("skip"))
    return any(reason.startswith("got empty parameter set") for reason in reasons)


# Servers


@pytest.fixture(scope="session")
def postgres_server_url() -> Iterator[str]:
    """The PostgreSQL of this session. Tests take `postgresql_url`; fault tests start an own `PostgresServer`."""
    with address(DATABASE_VARIABLE) as url:
        yield url


@pytest.fixture(scope="session")
def redis_server_url() -> Iterator[str]:
    """The Redis of this session. Tests take `redis_url`; fault tests start an own `RedisServer`."""
    with address(REDIS_VARIABLE) as url:
        yield url


@pytest.fixture
def redis_url(redis_server_url: str) -> Iterator[str]:
    """An emptied Redis database; under pytest-xdist each worker has its own number."""
    from redis import Redis

    base, _, number = redis_server_url.rpartition("/")
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    url = f"{base}/{int(number) + worker}"
    with Redis.from_url(url) as redis:
        redis.flushdb()
    yield url


# Databases


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> SqliteTemplate:
    return SqliteTemplate(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgres_template(postgres_server_url: str) -> Iterator[PostgresTemplate]:
    template = PostgresTemplate(postgres_server_url)
    yield template
    template.close()


@pytest.fixture
def sqlite_url(sqlite_template: SqliteTemplate, tmp_path: Path) -> str:
    """A migrated SQLite file of this test's own."""
    return sqlite_template.copy_to(tmp_path / "stateful_engine.sqlite")


@pytest.fixture
def postgresql_url(postgres_template: PostgresTemplate) -> Iterator[str]:
    """A migrated PostgreSQL database of this test's own."""
    with postgres_template.copied() as url:
        yield url


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """A SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'empty.sqlite'}"


@pytest.fixture
def empty_postgresql_url(postgres_template: PostgresTemplate) -> Iterator[str]:
    """A PostgreSQL database without our tables."""
    with postgres_template.empty() as url:
        yield url


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated, empty database of this test's own: the test runs once on SQLite and once on PostgreSQL."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=BOTH)
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """A database without our tables: the test runs once on SQLite and once on PostgreSQL."""
    url: str = request.getfixturevalue(f"empty_{request.param}_url")
    return url


# Apps


@pytest.fixture
def make_app(database_url: str, tmp_path: Path) -> Iterator[AppMaker]:
    """Makes Flask apps with an engine on `database_url`; keywords: configuration, `engine`, `db`, `instance_path`."""
    runtimes: list[Runtime] = []

    def make(
        *,
        engine: StatefulEngine | None = None,
        db: Any = None,
        instance_path: Path | None = None,
        **config: Any,
    ) -> Flask:
        from flask import Flask

        from stateful_engine import StatefulEngine

        folder = instance_path or tmp_path / f"instance{len(runtimes)}"
        app = Flask("tests.host", instance_path=str(folder))
        app.config.update({"TESTING": True, "STATEFUL_DATABASE_URL": database_url} | config)
        (engine or StatefulEngine()).init_app(app, db=db)
        runtimes.append(app.extensions["stateful_engine"])
        return app

    yield make
    for runtime in runtimes:
        runtime.close(timeout=2.0)


@pytest.fixture
def engine() -> StatefulEngine:
    """The extension object of `app`."""
    from stateful_engine import StatefulEngine

    return StatefulEngine()


@pytest.fixture
def app(make_app: AppMaker, engine: StatefulEngine) -> Flask:
    """A host without views of its own."""
    return make_app(engine=engine)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Talks to `app`."""
    return app.test_client()


@pytest.fixture
def runtime(app: Flask) -> Runtime:
    """What the engine holds for `app`."""
    held: Runtime = app.extensions["stateful_engine"]
    return held


@pytest.fixture(autouse=True)
def no_context_left_behind() -> Iterator[None]:
    """A context that outlives its test would hand its `g` and its sessions to the next one."""
    yield
    from flask import has_app_context

    assert not has_app_context(), "the test left an application context open"


# The world around


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    """Time stands still at `factories.MOMENT` until the test moves it."""
    from stateful_engine.domain.clock import clock_from

    fake = FakeClock()
    with clock_from(fake.read_ns):
        yield fake


@pytest.fixture
def shared_dir() -> Path | None:
    """The folder with the shared inputs beside the checkout, None in a clone without it."""
    return shared_folder()
