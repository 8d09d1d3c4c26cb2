"""A host with its own 404 and 500 pages: they answer for its URLs, JSON answers below our prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest
from flask import Flask

from stateful_engine import track_signal_generation
from tests.recorded import recorded

if TYPE_CHECKING:
    from tests.conftest import AppMaker


@pytest.fixture
def host(make_app: AppMaker) -> Flask:
    app = make_app(PROPAGATE_EXCEPTIONS=False)
    app.register_error_handler(404, lambda error: ("<h1>the host's 404</h1>", 404))
    app.register_error_handler(500, lambda error: ("<h1>the host's 500</h1>", 500))

    @app.get("/signal")
    @track_signal_generation
    def broken() -> NoReturn:
        raise ZeroDivisionError("a bug of the host")

    return app


def test_an_unknown_url_of_the_host_is_its_own_404(host: Flask) -> None:
    answer = host.test_client().get("/nowhere")
    assert (answer.status_code, answer.text) == (404, "<h1>the host's 404</h1>")


def test_an_unknown_url_below_our_prefix_is_json(host: Flask) -> None:
    answer = host.test_client().get("/api/gpts/state/nowhere")
    assert answer.status_code == 404
    assert answer.get_json()["error"] == "ENDPOINT_NOT_FOUND"


def test_an_unknown_signal_is_json_too(host: Flask) -> None:
    answer = host.test_client().get("/api/gpts/state/signal/sig_000000000000_1700000000")
    assert (answer.status_code, answer.get_json()["error"]) == (404, "SIGNAL_NOT_FOUND")


def test_a_view_that_fails_ends_in_the_hosts_500_and_in_the_query_log(host: Flask) -> None:
    answer = host.test_client().get("/signal")
    assert (answer.status_code, answer.text) == (500, "<h1>the host's 500</h1>")
    query = recorded(host).queries[0]
    assert (query["response_status"], query["error_message"]) == (500, "ZeroDivisionError")
    assert answer.headers["X-Query-ID"] == query["query_id"]
