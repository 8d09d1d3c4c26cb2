"""Apps whose pages are on, with strict templates: a name that nobody gave is a failure here, not an empty place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from jinja2 import StrictUndefined

from tests.dashboard.browsers import MISSING, chromium

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    AppMaker = Callable[..., Flask]


collect_ignore = [] if chromium() else ["test_browser.py"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say that the browser tests were left out: a run without them is good, and not the whole."""
    if collect_ignore:
        terminalreporter.section("browser", yellow=True)
        terminalreporter.write_line(MISSING)


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
