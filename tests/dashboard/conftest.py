"""Apps whose pages are on, with strict templates: a name that nobody gave is a failure here, not an empty place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from jinja2 import StrictUndefined

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    AppMaker = Callable[..., Flask]


@pytest.fixture
def make_board(make_app: AppMaker) -> AppMaker:
    """Makes apps as `make_app` does, with the dashboard on."""

    def make(**config: Any) -> Flask:
        app = make_app(**{"STATEFUL_DASHBOARD": True} | config)
        app.jinja_env.undefined = StrictUndefined
        return app

    return make


@pytest.fixture
def board(make_board: AppMaker) -> Flask:
    """A host that is being tested, so that its pages are open."""
    return make_board()


@pytest.fixture
def reader(board: Flask) -> FlaskClient:
    """Looks at the pages of `board`."""
    return board.test_client()
