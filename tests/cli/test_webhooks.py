"""`flask stateful webhooks`: add, list, deliver, remove; and the same over HTTP."""

from __future__ import annotations

import os
import signal as signals_of_the_system
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select
from standardwebhooks import Webhook

from stateful_engine.domain.redaction import redact_text
from stateful_engine.storage import tables
from tests.api.calls import PREFIX, assert_refused, track
from tests.api.test_mcp import call
from tests.factories import ROOT
from tests.webhook_receiver import Receiver, receiving

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from stateful_engine.extension import Runtime


@pytest.fixture
def app(make_app: Any) -> Flask:
    made: Flask = make_app(STATEFUL_WEBHOOK_ALLOW_PRIVATE=True)
    return made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def run(app: Flask, *arguments: str, code: int = 0) -> str:
    result = app.test_cli_runner().invoke(args=["stateful", "webhooks", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_an_endpoint_is_added_listed_served_and_removed(app: Flask, client: FlaskClient, receiver: Receiver) -> None:
    assert "no webhooks yet" in run(app, "list")
    secret, described, *_ = run(app, "add", receiver.url, "--event", "signal.created").splitlines()
    endpoint_id = described.split()[1].rstrip(",")
    track(client)
    assert "1 waiting" in run(app, "list")
    assert "delivered 1 message, 0 attempts failed" in run(app, "deliver", "--once")
    Webhook(secret).verify(receiver.bodies[0], receiver.headers[0])
    listed = run(app, "list")
    assert endpoint_id in listed
    assert "active" in listed
    assert secret not in listed
    assert redact_text(f"the secret is {secret}") == "the secret is [redacted]"
    run(app, "enable", endpoint_id)
    run(app, "remove", endpoint_id)
    assert "no webhook has the id" in run(app, "remove", endpoint_id, code=1)


def test_the_doctor_tells_what_waits(app: Flask, client: FlaskClient, receiver: Receiver) -> None:
    run(app, "add", receiver.url, "--event", "signal.created")
    track(client)
    shown = app.test_cli_runner().invoke(args=["stateful", "doctor"]).output
    assert "1, 0 disabled; 1 message waits" in shown


def test_an_address_that_is_not_allowed_is_refused_with_the_remedy(make_app: Any) -> None:
    assert "STATEFUL_WEBHOOK_ALLOW_PRIVATE" in run(make_app(), "add", "http://10.0.0.1/", code=1)


def test_the_deliverer_works_until_it_is_told_to_stop(app: Flask, client: FlaskClient, receiver: Receiver) -> None:
    run(app, "add", receiver.url, "--event", "signal.created")
    track(client)
    thread = threading.Thread(target=_stop_after_the_first, args=(receiver,))
    thread.start()
    assert "delivered 1 message" in run(app, "deliver")
    thread.join(timeout=20)


def _stop_after_the_first(receiver: Receiver) -> None:
    """End the command once a message has arrived, as a service manager does."""
    waited = threading.Event()
    while not receiver.bodies:
        waited.wait(0.01)
    os.kill(os.getpid(), signals_of_the_system.SIGTERM)


HOST = """
from flask import Flask
from stateful_engine import StatefulEngine

def create_app():
    app = Flask("host", instance_path={instance!r})
    app.config["STATEFUL_DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/nothing"
    StatefulEngine(app)
    return app
"""


def test_the_deliverer_waits_for_a_database_that_is_away(tmp_path: Path) -> None:
    (tmp_path / "host.py").write_text(HOST.format(instance=str(tmp_path)))
    command = [sys.executable, "-m", "flask", "--app", str(tmp_path / "host.py"), "stateful", "webhooks", "deliver"]
    once = subprocess.run([*command, "--once"], check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert once.returncode == 1
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "trying again in a moment" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signals_of_the_system.SIGTERM)
        told, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "delivered 0 messages" in told


def test_webhooks_are_managed_over_http_and_the_secret_is_answered_once(
    client: FlaskClient, receiver: Receiver
) -> None:
    body = {"url": receiver.url, "events": ["signal.created"], "client_ref": "once"}
    made = client.post(f"{PREFIX}/webhooks", json=body).json
    again = client.post(f"{PREFIX}/webhooks", json=body).json
    assert made["secret"].startswith("whsec_")
    assert (again["endpoint_id"], again["secret"]) == (made["endpoint_id"], "[redacted]")
    [listed] = client.get(f"{PREFIX}/webhooks").json["webhooks"]
    assert (listed["endpoint_id"], listed["url"], listed["pending"]) == (made["endpoint_id"], receiver.url, 0)
    assert "secret" not in str(listed)
    assert client.post(f"{PREFIX}/webhooks/{made['endpoint_id']}/enable", json={}).status_code == 200
    assert client.post(f"{PREFIX}/webhooks/{made['endpoint_id']}/remove", json={}).status_code == 200
    assert_refused(client.post(f"{PREFIX}/webhooks/{made['endpoint_id']}/remove", json={}), 404, "NOT_FOUND")


def test_a_secret_that_was_answered_is_in_no_table(client: FlaskClient, runtime: Runtime, receiver: Receiver) -> None:
    """Neither for calls that are repeated, nor in the log of what MCP was answered."""
    body = {"url": receiver.url, "events": ["signal.created"]}
    answers = [
        client.post(f"{PREFIX}/webhooks", json={**body, "client_ref": "once"}).json,
        call(client, "createWebhook", body)["structuredContent"],
    ]
    runtime.flush()
    with runtime.database.connection() as connection:
        rows = repr([connection.execute(select(table)).all() for table in tables.metadata.sorted_tables])
    assert "mcp:createWebhook" in rows
    for answer in answers:
        assert answer["secret"].removeprefix("whsec_") not in rows


def test_a_private_address_is_refused_over_http(make_app: Any) -> None:
    answer = make_app().test_client().post(f"{PREFIX}/webhooks", json={"url": "https://169.254.169.254/latest"})
    assert_refused(answer, 422, "VALIDATION_ERROR")
