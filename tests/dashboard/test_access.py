"""Who may see the pages: nobody by default, everybody where the app is open, else whoever holds a key."""

from __future__ import annotations

import html
import re
import stat
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from flask import Flask
from flask_wtf import CSRFProtect
from sqlalchemy.exc import OperationalError

from stateful_engine import StatefulEngine
from stateful_engine.dashboard.pages import PAGES
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.installation import FILE
from stateful_engine.services.api_keys import ApiKeys

if TYPE_CHECKING:
    from pathlib import Path

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from tests.factories import FakeClock

    AppMaker = Callable[..., Flask]

LOGIN = "/state/login"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Which database stands behind the door makes no difference here."""
    return sqlite_url


@pytest.fixture
def closed(make_board: AppMaker) -> Flask:
    """An app as it runs in production, with its pages on."""
    return make_board(TESTING=False)


@pytest.fixture
def keys(closed: Flask) -> ApiKeys:
    return ApiKeys(closed.extensions["stateful_engine"].database)


@pytest.fixture
def stranger(closed: Flask) -> FlaskClient:
    return closed.test_client()


def hidden(answer: TestResponse) -> dict[str, str]:
    """The hidden fields of the form on a page."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', answer.text)
    return {name: html.unescape(value) for name, value in found}


def sign_in(client: FlaskClient, key: str, url: str = LOGIN, **headers: str) -> TestResponse:
    form = hidden(client.get(url))
    return client.post(url.partition("?")[0], data={**form, "key": key}, headers=headers)


def test_there_are_no_pages_outside_debug_unless_the_host_wants_them(make_app: AppMaker) -> None:
    client = make_app(TESTING=False).test_client()
    for path in ("/state", "/state/", LOGIN, "/state/static/page.css"):
        assert client.get(path).status_code == 404
    assert "stateful_engine" not in client.get("/state/").text


def test_an_app_in_debug_has_pages_for_everybody_who_can_reach_it(make_app: AppMaker, tmp_path: Path) -> None:
    app = Flask("debugged", instance_path=str(tmp_path))
    app.debug = True
    engine = StatefulEngine(app)
    assert app.test_client().get("/state/").status_code == 200
    assert engine.close()


@pytest.mark.parametrize("config", [{"TESTING": True}, {"TESTING": False, "STATEFUL_AUTH": "none"}])
def test_open_apps_show_their_pages_without_a_key(make_board: AppMaker, config: dict[str, Any]) -> None:
    client = make_board(**config).test_client()
    for page in PAGES:
        if "<" not in page.path:
            assert client.get(f"/state{page.path}").status_code == 200, page.endpoint
    assert "Sign out" not in client.get("/state/").text
    assert client.get(LOGIN).headers["Location"] == "/state/"
    assert client.post(LOGIN).headers["Location"] == "/state/"


def test_a_stranger_sees_the_form_and_nothing_else(stranger: FlaskClient) -> None:
    for path in ("/state/", "/state/nope", "/state/?days=7"):
        answer = stranger.get(path)
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith(LOGIN)
    form = stranger.get(LOGIN)
    assert form.status_code == 200
    assert "<nav" not in form.text
    assert stranger.post("/state/").status_code == 401


def test_a_key_opens_the_page_that_was_asked_for(stranger: FlaskClient, keys: ApiKeys) -> None:
    key = keys.create("trader", [Scope.ANALYTICS_READ]).text
    url = stranger.get("/state/?symbol=BTCUSDT&days=7").headers["Location"]
    answer = sign_in(stranger, key, url)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/state/?symbol=BTCUSDT&days=7"
    page = stranger.get(answer.headers["Location"])
    assert page.status_code == 200
    assert "Sign out" in page.text


def test_the_cookie_is_signed_hidden_from_scripts_and_only_for_our_pages(stranger: FlaskClient, keys: ApiKeys) -> None:
    plain = sign_in(stranger, keys.create("a").text).headers["Set-Cookie"]
    assert "HttpOnly" in plain
    assert "SameSite=Lax" in plain
    assert "Path=/state" in plain
    assert "Secure" not in plain
    stranger.delete_cookie("stateful_engine_session", path="/state")
    form = hidden(stranger.get(LOGIN, base_url="https://localhost"))
    made = {**form, "key": keys.create("b").text}
    assert "Secure" in stranger.post(LOGIN, base_url="https://localhost", data=made).headers["Set-Cookie"]


@pytest.mark.parametrize("cookie", ["", "nonsense", "WyJhIiwiYiJd.YWFh.c2ln", "é"])
def test_a_forged_cookie_is_a_stranger(stranger: FlaskClient, cookie: str) -> None:
    assert stranger.get("/state/", headers={"Cookie": f"stateful_engine_session={cookie}"}).status_code == 303


def test_a_wrong_key_opens_nothing(stranger: FlaskClient, keys: ApiKeys) -> None:
    right = keys.create("a").text
    for wrong in ("", "x", right[:-1], right + "x", "se_000000000000_" + "x" * 43, "'; DROP TABLE api_keys --"):
        answer = sign_in(stranger, wrong)
        assert answer.status_code == 401
        assert "unknown, expired or revoked" in answer.text
        assert stranger.get("/state/").status_code == 303


def test_a_key_for_something_else_opens_nothing(stranger: FlaskClient, keys: ApiKeys) -> None:
    for scope in set(Scope) - {Scope.ANALYTICS_READ, Scope.ADMIN}:
        assert sign_in(stranger, keys.create(str(scope), [scope]).text).status_code == 403
        assert stranger.get("/state/").status_code == 303
    assert sign_in(stranger, keys.create("admin", [Scope.ADMIN]).text).status_code == 303


def test_revoking_the_key_ends_the_session_at_once(stranger: FlaskClient, keys: ApiKeys) -> None:
    made = keys.create("trader")
    sign_in(stranger, made.text)
    assert stranger.get("/state/").status_code == 200
    keys.revoke(made.key_id)
    assert stranger.get("/state/").status_code == 303


def test_a_session_waits_for_a_database_that_is_away(
    stranger: FlaskClient, closed: Flask, keys: ApiKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(stranger, keys.create("trader").text)
    database = closed.extensions["stateful_engine"].database
    with monkeypatch.context() as patch:
        patch.setattr(database.engine, "connect", _refused)
        answer = stranger.get("/state/")
        assert answer.status_code == 503
        assert "Retry-After" in answer.headers
        assert "Set-Cookie" not in answer.headers
    assert stranger.get("/state/").status_code == 200


def _refused(*_: Any, **__: Any) -> NoReturn:
    raise OperationalError("connect", None, Exception("refused"))


def test_a_session_ends_with_its_key_and_after_half_a_day(
    stranger: FlaskClient, keys: ApiKeys, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(stranger, keys.create("trader", expires_in=timedelta(hours=1)).text)
    assert stranger.get("/state/").status_code == 200
    clock.advance(hours=2)
    assert stranger.get("/state/").status_code == 303


def test_a_form_from_elsewhere_signs_nobody_in_or_out(stranger: FlaskClient, closed: Flask, keys: ApiKeys) -> None:
    key = keys.create("trader").text
    assert stranger.post(LOGIN, data={"key": key}).status_code == 400
    foreign = hidden(closed.test_client().get(LOGIN))
    assert stranger.post(LOGIN, data={**foreign, "key": key}).status_code == 400
    sign_in(stranger, key)
    assert stranger.post("/state/logout", data={"token": "x"}).status_code == 400
    assert stranger.get("/state/logout").status_code == 404
    assert stranger.get("/state/").status_code == 200


def test_the_button_signs_out(stranger: FlaskClient, keys: ApiKeys) -> None:
    sign_in(stranger, keys.create("trader").text)
    answer = stranger.post("/state/logout", data=hidden(stranger.get("/state/")))
    assert answer.headers["Location"] == LOGIN
    assert stranger.get("/state/").status_code == 303


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "/\r\nX: y", "@evil"])
def test_signing_in_never_leads_elsewhere(stranger: FlaskClient, keys: ApiKeys, target: str) -> None:
    form = hidden(stranger.get(LOGIN)) | {"key": keys.create("trader").text, "next": target}
    answer = stranger.post(LOGIN, data=form)
    assert answer.headers["Location"].startswith("/state/")
    assert "X" not in answer.headers


def test_a_form_of_megabytes_is_not_read(stranger: FlaskClient) -> None:
    assert stranger.post(LOGIN, data={"key": "x" * 2**20}).status_code == 413


def test_a_key_in_a_header_works_for_scripts(stranger: FlaskClient, keys: ApiKeys) -> None:
    made = keys.create("script")
    assert stranger.get("/state/", headers={"Authorization": f"Bearer {made.text}"}).status_code == 200
    refused = stranger.get("/state/", headers={"X-API-Key": "se_0_0"})
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_function_of_the_host_decides(make_board: AppMaker) -> None:
    client = make_board(STATEFUL_AUTH=lambda request: request.headers.get("X-Desk") == "42").test_client()
    assert client.get("/state/", headers={"X-Desk": "42"}).status_code == 200
    refused = client.get("/state/")
    assert refused.status_code == 401
    assert "did not let the request in" in refused.text
    assert "<form" not in refused.text
    weak = make_board(STATEFUL_AUTH=lambda request: ["signals:read"]).test_client()
    assert weak.get("/state/").status_code == 403


def test_a_function_of_the_host_may_send_people_to_its_own_form(make_board: AppMaker) -> None:
    def decide(request: Any) -> bool:
        from flask import abort, redirect

        abort(redirect("/my-login"))

    assert make_board(STATEFUL_AUTH=decide).test_client().get("/state/").headers["Location"] == "/my-login"


@pytest.mark.parametrize("comes_first", [True, False])
def test_the_hosts_csrf_protection_stays_on_and_lets_our_form_through(
    sqlite_url: str, tmp_path: Path, comes_first: bool
) -> None:
    app = Flask("host", instance_path=str(tmp_path / "instance"))
    app.config.update(SECRET_KEY="k", STATEFUL_DASHBOARD=True, STATEFUL_DATABASE_URL=sqlite_url)
    steps = [CSRFProtect, StatefulEngine]
    for step in steps if comes_first else reversed(steps):
        step(app)
    client = app.test_client()
    key = ApiKeys(app.extensions["stateful_engine"].database).create("trader").text
    assert client.post(LOGIN, data={"key": key}).status_code == 400
    assert sign_in(client, key).status_code == 303
    assert client.post("/state/logout", data=hidden(client.get("/state/"))).status_code == 303
    app.extensions["stateful_engine"].close()


def test_without_a_secret_of_the_host_one_is_kept_in_the_instance_folder(closed: Flask, keys: ApiKeys) -> None:
    client = closed.test_client()
    sign_in(client, keys.create("trader").text)
    assert client.get("/state/").status_code == 200
    assert closed.secret_key is None
    file = closed.extensions["stateful_engine"].settings.instance_path / FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_secret_of_the_host_signs_instead(make_board: AppMaker, tmp_path: Path) -> None:
    app = make_board(TESTING=False, SECRET_KEY="the host's own")
    client = app.test_client()
    sign_in(client, ApiKeys(app.extensions["stateful_engine"].database).create("trader").text)
    assert client.get("/state/").status_code == 200
    assert not (app.extensions["stateful_engine"].settings.instance_path / FILE).exists()
    app.secret_key = b"another one"
    assert client.get("/state/").status_code == 303
