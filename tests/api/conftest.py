"""An app that many tests of bad input share, because none of them may leave anything behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from flask import Flask

from stateful_engine import StatefulEngine
from tests.api.calls import track

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from tests.databases import PostgresTemplate, SqliteTemplate


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_app(
    request: pytest.FixtureRequest, sqlite_template: SqliteTemplate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flask]:
    """An app on a database of this module's own, once on SQLite and once on PostgreSQL."""
    folder = tmp_path_factory.mktemp("shared")
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = sqlite_template.copy_to(folder / "stateful_engine.sqlite")
        else:
            template: PostgresTemplate = request.getfixturevalue("postgres_template")
            url = stack.enter_context(template.copied())
        app = Flask("tests.host", instance_path=str(folder))
        app.config.update(TESTING=True, PROPAGATE_EXCEPTIONS=False, STATEFUL_DATABASE_URL=url)
        StatefulEngine(app)
        yield app
        app.extensions["stateful_engine"].close(timeout=2.0)


@pytest.fixture(scope="module")
def shared_client(shared_app: Flask) -> FlaskClient:
    """Talks to `shared_app`."""
    return shared_app.test_client()


@pytest.fixture(scope="module")
def shared_signal(shared_client: FlaskClient) -> str:
    """The one signal that `shared_app` knows."""
    return track(shared_client)
