"""Every route of ours for every kind of caller: who has the scope gets in, nobody else does, and nothing is forgotten.

The routes are those of the app, not of a list: a route that is added without a word on who may use it fails here.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from stateful_engine.api.operations import OPERATIONS
from stateful_engine.dashboard.pages import PAGES
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.services.api_keys import ApiKeys
from tests.api.calls import GOOD_BODIES, PREFIX, UNKNOWN_ID

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient
    from werkzeug.routing import Rule
    from werkzeug.test import TestResponse

OPEN_TO_EVERYBODY = {
    f"{PREFIX}/health": "whether the process works, for probes",
    f"{PREFIX}/privacy": "what is recorded, for people",
    f"{PREFIX}/r/<token>": "links whose signature is the key",
    "/state/login": "the form that asks for a key",
    "/state/logout": "ends what a form began",
    "/state/static/<path:filename>": "looks of the pages",
}
"""All that answers without a key, and why."""


@dataclass(frozen=True)
class Caller:
    """Somebody who calls, and the scopes that its key has; None without a key that works."""

    name: str
    headers: dict[str, str]
    scopes: frozenset[Scope] | None

    def may(self, needed: set[Scope]) -> bool:
        return self.scopes is not None and (needed <= self.scopes or Scope.ADMIN in self.scopes)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Which database stands behind the doors makes no difference here."""
    return sqlite_url


@pytest.fixture
def closed(make_app: Callable[..., Flask]) -> Flask:
    """An app as it runs in production, with everything switched on."""
    return make_app(TESTING=False, STATEFUL_DASHBOARD=True, STATEFUL_RATE_LIMIT="0/minute", SECRET_KEY="x" * 32)


@pytest.fixture
def callers(closed: Flask) -> list[Caller]:
    keys = ApiKeys(closed.extensions["stateful_engine"].database)

    def bearer(text: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {text}"}

    every = [scope.value for scope in Scope]
    reading = frozenset(scope for scope in Scope if scope.value.endswith(":read"))
    expired = keys.create("expired", every, expires_in=timedelta(0)).text
    gone = keys.create("revoked", every)
    keys.revoke(gone.key_id)
    wrong = gone.text.rpartition("_")[0] + "_" + "A" * 43
    return [
        Caller("no key", {}, None),
        Caller("wrong key", bearer(wrong), None),
        Caller("expired key", bearer(expired), None),
        Caller("revoked key", bearer(gone.text), None),
        *(Caller(one.value, bearer(keys.create(one.value, [one.value]).text), frozenset({one})) for one in Scope),
        Caller("every reading scope", bearer(keys.create("reader", [one.value for one in reading]).text), reading),
    ]


def routes(app: Flask) -> Iterator[tuple[Rule, str]]:
    """Every method of every rule of ours."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint.partition(".")[0] in {"stateful_engine", "stateful_engine_dashboard"}:
            for method in sorted(rule.methods or ()):
                yield rule, method


def call(client: FlaskClient, rule: Rule, method: str, caller: Caller) -> TestResponse:
    name = rule.endpoint.rpartition(".")[2]
    filled = {"signal_id": UNKNOWN_ID, "rest": "nope", "filename": "page.css"}
    url = re.sub(r"<(?:[^:>]*:)?([^>]*)>", lambda found: filled.get(found[1], "999999999"), rule.rule)
    body: Any = {"jsonrpc": "2.0", "id": 1, "method": "ping"} if name == "mcp" else GOOD_BODIES.get(name)
    return client.open(url, method=method, json=body, headers=caller.headers, buffered=True)


def scopes_of(rule: Rule) -> set[Scope]:
    """The scopes that a rule asks for; none where any key that works will do."""
    name = rule.endpoint.rpartition(".")[2]
    if rule.endpoint.startswith("stateful_engine_dashboard."):
        return {Scope.ANALYTICS_READ, *(page.scope for page in PAGES if page.endpoint == name)}
    return {operation.scope for operation in OPERATIONS if operation.name == name and operation.scope is not None}


def check(rule: Rule, method: str, caller: Caller, answer: TestResponse) -> str:
    """What became of one call, after seeing that it is right."""
    what = f"{method} {rule.rule} with {caller.name}: {answer.status_code}"
    if method == "OPTIONS" and not answer.data:
        return "preflight"
    if rule.rule in OPEN_TO_EVERYBODY:
        assert answer.status_code != 403 or "key" in answer.text, what
        return "open to everybody"
    if rule.endpoint == "stateful_engine.mcp" and method != "POST":
        assert answer.status_code == 405, what
        return "open to everybody"
    if caller.may(scopes_of(rule)):
        assert answer.status_code not in {401, 403, 303}, what
        return "let in"
    if caller.scopes is not None:
        assert answer.status_code == 403, what
        return "refused for its scope"
    is_page = rule.endpoint.startswith("stateful_engine_dashboard.")
    to_the_form = is_page and caller.name == "no key" and method in {"GET", "HEAD"}
    assert answer.status_code == (303 if to_the_form else 401), what
    assert not to_the_form or "/login" in answer.headers["Location"], what
    return "refused without a key"


def test_every_route_lets_in_whom_it_should_and_nobody_else(
    closed: Flask, callers: list[Caller], capsys: pytest.CaptureFixture[str]
) -> None:
    client = closed.test_client(use_cookies=False)
    found = Counter(
        check(rule, method, caller, call(client, rule, method, caller))
        for rule, method in routes(closed)
        for caller in callers
    )

    assert {operation.name for operation in OPERATIONS} <= {rule.endpoint.split(".")[-1] for rule, _ in routes(closed)}
    assert found["refused without a key"] > 4 * len(OPERATIONS)
    assert found["refused for its scope"] > 10 * len(OPERATIONS)
    with capsys.disabled():
        told = ", ".join(f"{count} {what}" for what, count in sorted(found.items()))
        sys.stdout.write(f"\nauth matrix: {found.total()} calls by {len(callers)} callers: {told}\n")
