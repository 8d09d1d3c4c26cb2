"""A host with CSRFProtect: its own forms stay protected, our JSON routes need no token, tracking changes neither."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from flask_wtf import CSRFProtect

from stateful_engine import StatefulEngine, track_signal_generation
from tests.factories import signal_data
from tests.recorded import recorded

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def protected(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """A host that protects itself first and then registers the engine."""
    app = Flask("host", instance_path=str(tmp_path_factory.mktemp("instance")))
    app.config.update(TESTING=True, SECRET_KEY="k", STATEFUL_DATABASE_URL=database_url)
    CSRFProtect(app)
    engine = StatefulEngine(app)

    @app.post("/signal")
    @track_signal_generation
    def view() -> dict[str, Any]:
        return signal_data()

    yield app
    engine.close()


def test_our_routes_take_a_post_without_a_token(protected: Flask) -> None:
    answer = protected.test_client().post("/api/gpts/state/track-signal", json={"signal_data": signal_data()})
    assert answer.status_code == 200
    assert recorded(protected).signals[0]["signal_id"] == answer.get_json()["signal_id"]


def test_the_hosts_own_post_still_needs_its_token(protected: Flask) -> None:
    answer = protected.test_client().post("/signal", json={})
    assert answer.status_code == 400
    assert recorded(protected).counts == (0, 0, 0)
