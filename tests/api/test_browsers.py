"""Cross-origin requests and CSRF protection: ours answer as promised, the host's stay as they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from flask import Flask
from flask_wtf.csrf import CSRFProtect

from stateful_engine import StatefulEngine
from tests.api.calls import PREFIX
from tests.factories import signal_data

if TYPE_CHECKING:
    from pathlib import Path

    from flask.testing import FlaskClient

GPT = {"Origin": "https://chatgpt.com"}
EVIL = {"Origin": "https://evil.example"}
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Which database stands behind the door makes no difference here."""
    return sqlite_url


@pytest.mark.parametrize("path", ["/health", "/nope", "/signal/x", "/track-signal"])
def test_an_allowed_origin_may_read_answers_and_errors_alike(shared_client: FlaskClient, path: str) -> None:
    answer = shared_client.get(PREFIX + path, headers=GPT)

    assert answer.headers["Access-Control-Allow-Origin"] == "https://chatgpt.com"
    exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"X-Signal-ID", "X-Query-ID", "X-Request-ID", "Retry-After"} <= set(exposed)
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Origin" in answer.headers["Vary"]


def test_another_origin_is_told_nothing(shared_client: FlaskClient) -> None:
    for answer in (
        shared_client.get(f"{PREFIX}/health", headers=EVIL),
        shared_client.options(f"{PREFIX}/track-signal", headers={**EVIL, **PREFLIGHT}),
    ):
        assert not [name for name in answer.headers.keys() if name.startswith("Access-Control-Allow")]


def test_a_preflight_needs_no_key(make_app: Callable[..., Flask]) -> None:
    client = make_app(TESTING=False).test_client()

    answer = client.options(f"{PREFIX}/track-signal", headers={**GPT, **PREFLIGHT})

    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "https://chatgpt.com"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert {"authorization", "content-type"} <= set(answer.headers["Access-Control-Allow-Headers"].split(", "))


def test_the_hosts_own_cors_settings_neither_widen_ours_nor_are_touched(make_app: Callable[..., Flask]) -> None:
    app = make_app(CORS_ORIGINS="*", CORS_SUPPORTS_CREDENTIALS=True, CORS_ALWAYS_SEND=True)
    app.add_url_rule("/host", "host", lambda: "host")
    client = app.test_client()

    assert "Access-Control-Allow-Origin" not in client.get(f"{PREFIX}/health", headers=EVIL).headers
    assert "Access-Control-Allow-Credentials" not in client.get(f"{PREFIX}/health", headers=GPT).headers
    assert "Access-Control-Allow-Origin" not in client.get("/host", headers=GPT).headers


def test_origins_are_a_setting_and_none_switches_cors_off(make_app: Callable[..., Flask]) -> None:
    own = make_app(STATEFUL_CORS_ORIGINS="https://desk.example").test_client()
    none = make_app(STATEFUL_CORS_ORIGINS=()).test_client()

    asked = {"Origin": "https://desk.example"}
    assert own.get(f"{PREFIX}/health", headers=asked).headers["Access-Control-Allow-Origin"] == asked["Origin"]
    assert "Access-Control-Allow-Origin" not in own.get(f"{PREFIX}/health", headers=GPT).headers
    assert "Access-Control-Allow-Origin" not in none.get(f"{PREFIX}/health", headers=GPT).headers


def test_csrf_protection_of_the_host_lets_our_json_pass_and_guards_the_rest(tmp_path: Path) -> None:
    app = Flask("host", instance_path=str(tmp_path))
    app.config.update(TESTING=True, SECRET_KEY="x")
    CSRFProtect(app)
    app.add_url_rule("/form", "form", lambda: "sent", methods=["POST"])
    StatefulEngine(app)
    client = app.test_client()

    assert client.post(f"{PREFIX}/track-signal", json=signal_data()).status_code == 200
    assert client.post(f"{PREFIX}/nope", json={}).status_code == 404
    assert client.post("/form").status_code == 400
    app.extensions["stateful_engine"].close()
