from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from stateful_engine.errors import QueryTimeoutError
from stateful_engine.storage import rollup_reading
from stateful_engine.storage.database import Database
from stateful_engine.storage.rollup_measures import SIGNALS
from stateful_engine.storage.time_limits import reads_within
from tests.api.calls import PREFIX, assert_refused

if TYPE_CHECKING:
    from flask import Flask

COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT max(i) FROM n"
ENDLESS, SHORT = text(COUNT.format(2_000_000_000)), text(COUNT.format(200_000))


@pytest.fixture
def database(database_url: str) -> Any:
    found = Database(database_url)
    yield found
    found.dispose()


def ask(database: Database, question: Any) -> Any:
    with database.reading() as session:
        return session.scalar(question)


def ask_for_report(database: Database, question: Any) -> Any:
    with rollup_reading.view(database, SIGNALS) as view:
        return view.connection.scalar(question)


@pytest.mark.parametrize("asking", [ask, ask_for_report])
def test_a_question_that_takes_too_long_is_ended_with_advice(database: Database, asking: Any) -> None:
    started = time.monotonic()

    with reads_within(0.2), pytest.raises(QueryTimeoutError, match="fewer days") as caught:
        asking(database, ENDLESS)

    assert 0.1 < time.monotonic() - started < 10
    assert (caught.value.status, caught.value.retry_after) == (503, 5)


@pytest.mark.parametrize("asking", [ask, ask_for_report])
def test_the_limit_leaves_nothing_behind_on_the_connection(database: Database, asking: Any) -> None:
    with reads_within(0.05), pytest.raises(QueryTimeoutError):
        asking(database, ENDLESS)

    assert asking(database, SHORT) == 200_000
    with reads_within(0):
        assert asking(database, SHORT) == 200_000


def test_several_questions_share_one_limit(database: Database) -> None:
    with reads_within(0.3), pytest.raises(QueryTimeoutError):
        for _ in range(1000):
            ask(database, SHORT)


def test_a_slow_report_is_503_over_http_and_the_next_one_is_answered(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(STATEFUL_READ_TIMEOUT=0.2, PROPAGATE_EXCEPTIONS=False)
    runtime = app.extensions["stateful_engine"]
    client = app.test_client()
    with monkeypatch.context() as patch:
        patch.setattr(runtime.analytics, "signals", lambda *_, **__: ask(runtime.database, ENDLESS))

        refused = client.get(f"{PREFIX}/analytics/signals")

    assert_refused(refused, 503, "QUERY_TIMEOUT")
    assert "STATEFUL_READ_TIMEOUT" in refused.json["message"]
    assert refused.headers["Retry-After"] == "5"
    assert client.get(f"{PREFIX}/analytics/signals").status_code == 200
