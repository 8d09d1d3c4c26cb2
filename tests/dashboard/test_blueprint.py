"""The pages in a host: what it has of its own stays as it is, and what goes wrong below the prefix stays there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from flask import Blueprint, Flask
from jinja2 import DictLoader
from sqlalchemy import text
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from stateful_engine import ConfigurationError, StatefulEngine, StorageUnavailableError
from stateful_engine.services.analytics import Analytics

if TYPE_CHECKING:
    from pathlib import Path

    from flask.testing import FlaskClient

    AppMaker = Callable[..., Flask]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Which database stands behind the pages makes no difference here."""
    return sqlite_url


def assert_strict(headers: Any) -> None:
    policy = headers["Content-Security-Policy"]
    for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"):
        assert part in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_every_answer_below_the_prefix_has_strict_headers(reader: FlaskClient) -> None:
    for path in ("/state/", "/state/nope", "/state/login", "/state/static/page.css", "/state/static/nope.css"):
        assert_strict(reader.get(path, buffered=True).headers)
    assert reader.get("/state/").headers["Cache-Control"] == "no-store"


def test_pages_need_nothing_from_elsewhere_and_carry_no_inline_code(reader: FlaskClient) -> None:
    page = reader.get("/state/").text
    assert not re.search(r'(src|href|action)="(https?:)?//', page)
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=|javascript:", page)
    assert not re.search(r"<script(?![^>]*(src=|application/json))", page)


def test_static_files_are_kept_for_good_under_the_name_of_their_content(reader: FlaskClient) -> None:
    for url in re.findall(r'(?:href|src)="(/state/static/[^"]+)"', reader.get("/state/").text):
        answer = reader.get(url, buffered=True)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert reader.get("/state/static/page.css?v=x", buffered=True).headers["Cache-Control"] == "no-cache"


def test_the_address_without_a_slash_leads_to_the_first_page(reader: FlaskClient) -> None:
    assert reader.get("/state").headers["Location"].endswith("/state/")
    assert reader.head("/state/").status_code == 200


def test_what_goes_wrong_below_the_prefix_is_a_page_of_ours(board: Flask, reader: FlaskClient) -> None:
    for code in (404, 405, 500, 503):
        board.register_error_handler(code, lambda error: ("the host's own page", 418))
    board.register_error_handler(Exception, lambda error: ("the host's own page", 418))
    for answer, status in ((reader.get("/state/nope"), 404), (reader.post("/state/"), 405)):
        assert answer.status_code == status
        assert answer.mimetype == "text/html"
        assert "stateful_engine" in answer.text
    assert reader.post("/state/").headers["Allow"] == "GET, HEAD"
    assert reader.get("/elsewhere").text == "the host's own page"


def test_a_fault_of_ours_is_a_page_without_its_details(
    board: Flask, reader: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Analytics, "_cached", fail)
    answer = reader.get("/state/")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert "Traceback" not in answer.text
    assert board.extensions["stateful_engine"].guard.snapshot()["failed_show_the_dashboard"] == 1


def test_a_template_of_the_host_that_is_broken_breaks_only_the_page(board: Flask, reader: FlaskClient) -> None:
    board.jinja_loader = DictLoader({"stateful_engine/base.html": "{% broken"})  # type: ignore[assignment]
    answer = reader.get("/state/")
    assert answer.status_code == 500
    assert answer.text == "The dashboard cannot be shown; what went wrong was logged."


def test_a_database_that_is_away_is_said_so(reader: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> NoReturn:
        raise StorageUnavailableError("the database does not answer; try again in a moment")

    monkeypatch.setattr(Analytics, "_cached", away)
    answer = reader.get("/state/")
    assert answer.status_code == 503
    assert "the database does not answer" in answer.text
    assert int(answer.headers["Retry-After"]) > 0


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def test_a_page_that_takes_too_long_to_read_is_given_up(make_board: AppMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    board = make_board(STATEFUL_READ_TIMEOUT=0.2)

    def never(self: Analytics, *_: Any, **__: Any) -> Any:
        with self._database.reading() as session:
            return session.execute(text(ENDLESS)).all()

    monkeypatch.setattr(Analytics, "_cached", never)
    answer = board.test_client().get("/state/")
    assert answer.status_code == 503
    assert "STATEFUL_READ_TIMEOUT" in answer.text


def test_a_schema_that_is_missing_names_the_command(make_board: AppMaker, empty_sqlite_url: str) -> None:
    app = make_board(STATEFUL_DATABASE_URL=empty_sqlite_url, STATEFUL_AUTO_MIGRATE=False)
    answer = app.test_client().get("/state/")
    assert answer.status_code == 503
    assert "flask stateful db upgrade" in answer.text


def test_what_the_hosts_hooks_say_is_respected(board: Flask, reader: FlaskClient) -> None:
    @board.before_request
    def only_at_work() -> None:
        from flask import abort

        abort(403)

    answer = reader.get("/state/")
    assert answer.status_code == 403
    assert "stateful_engine" in answer.text


def test_the_host_may_have_other_rules_and_globals_for_templates(make_app: AppMaker) -> None:
    board = make_app(STATEFUL_DASHBOARD=True)
    board.jinja_options = {"variable_start_string": "[[", "variable_end_string": "]]", "autoescape": False}
    board.jinja_env.globals["show"] = "the host's"
    assert "<h1>Overview</h1>" in board.test_client().get("/state/").text
    assert board.jinja_env.globals["show"] == "the host's"
    assert board.jinja_env.from_string("[[ 1 + 1 ]]").render() == "2"


def test_the_host_may_override_a_template(make_board: AppMaker) -> None:
    app = make_board()
    mine = '{% extends "stateful_engine/base.html" %}{% block content %}<p>{{ "<mine>" }} {{ desk }}</p>{% endblock %}'
    app.jinja_loader = DictLoader({"stateful_engine/problem.html": mine})  # type: ignore[assignment]
    app.context_processor(lambda: {"desk": "rates"})
    page = app.test_client().get("/state/nope").text
    assert "<p>&lt;mine&gt; rates</p>" in page
    assert 'href="/state/static/page.css' in page


def test_the_pages_fit_into_the_layout_of_the_host(make_board: AppMaker) -> None:
    app = make_board()
    layout = "<html>{% block head %}{% endblock %}<h1>Desk</h1>{% block body %}{% endblock %}</html>"
    base = (
        '{% extends "layout.html" %}'
        '{% block head %}<link rel="stylesheet" href="{{ asset(\'page.css\') }}">{% endblock %}'
        "{% block body %}{% block filters %}{% endblock %}{% block content %}{% endblock %}{% endblock %}"
    )
    app.jinja_loader = DictLoader({"layout.html": layout, "stateful_engine/base.html": base})  # type: ignore[assignment]
    page = app.test_client().get("/state/").text
    assert "<h1>Desk</h1>" in page
    assert "<h1>Overview</h1>" in page


def test_two_apps_have_their_pages_where_each_wants_them(make_board: AppMaker) -> None:
    one, other = make_board(), make_board(STATEFUL_DASHBOARD_PREFIX="desk/board/")
    assert 'href="/state/"' in one.test_client().get("/state/").text
    assert 'href="/desk/board/"' in other.test_client().get("/desk/board/").text
    assert other.test_client().get("/state/").status_code == 404


def test_an_app_that_is_mounted_somewhere_links_to_itself(board: Flask) -> None:
    outer = Client(DispatcherMiddleware(Flask("outer"), {"/inner": board}))
    page = outer.get("/inner/state/").text
    assert 'href="/inner/state/"' in page
    assert 'href="/inner/state/static/page.css' in page


def test_names_and_urls_of_the_host_are_never_taken(make_app: AppMaker, tmp_path: Path, sqlite_url: str) -> None:
    app = Flask("host", instance_path=str(tmp_path))
    app.config.update(STATEFUL_DASHBOARD=True, STATEFUL_DATABASE_URL=sqlite_url)
    app.add_url_rule("/state/", "mine", lambda: "mine")
    with pytest.raises(ConfigurationError, match="STATEFUL_DASHBOARD_PREFIX"):
        StatefulEngine(app)
    named = Flask("named", instance_path=str(tmp_path))
    named.config.update(STATEFUL_DASHBOARD=True, STATEFUL_DATABASE_URL=sqlite_url)
    named.register_blueprint(Blueprint("stateful_engine_dashboard", __name__))
    with pytest.raises(ConfigurationError, match="blueprint"):
        StatefulEngine(named)


def test_pages_that_nobody_asked_for_give_way_to_those_of_the_host(
    tmp_path: Path, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask("host", instance_path=str(tmp_path))
    app.debug = True
    app.config.update(STATEFUL_DATABASE_URL=sqlite_url)
    app.add_url_rule("/state/", "mine", lambda: "mine")
    engine = StatefulEngine(app)
    assert app.test_client().get("/state/").text == "mine"
    assert "the dashboard is left out" in caplog.text
    assert engine.close()
