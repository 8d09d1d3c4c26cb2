"""The API does what its document says, whatever it is sent: schemathesis makes up the requests.

A short run by default; with `STATEFUL_TEST_LONG=1` more than 5 000 requests.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup

from stateful_engine import StatefulEngine
from stateful_engine.api.contract import Operation
from stateful_engine.api.operations import OPERATIONS, braced
from tests.api.calls import PREFIX

if TYPE_CHECKING:
    from tests.databases import SqliteTemplate

LONG = bool(os.environ.get("STATEFUL_TEST_LONG"))
EXAMPLES = 150 if LONG else 4

BEYOND_SCHEMAS = {("POST", f"{PREFIX}/outcomes/resolve"): "what candles mean together"}
"""Operations that may refuse what their schema allows, because a schema cannot say everything."""

LENIENT = {("POST", f"{PREFIX}/track-signal"): "the document names one spelling of symbols and verbs of many"}
"""Operations that take more spellings than their schema names."""

seen: Counter[int] = Counter()

MILLENNIUM = datetime(2001, 1, 1, tzinfo=timezone.utc)
schemathesis.openapi.format(
    "date-time", st.integers(0, 750_000_000).map(lambda seconds: (MILLENNIUM + timedelta(seconds=seconds)).isoformat())
)


@pytest.fixture(scope="module", params=["open", "closed"])
def schema(
    request: pytest.FixtureRequest, sqlite_template: SqliteTemplate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """The document of an app that lets everybody in, and of one that asks for a key."""
    folder = tmp_path_factory.mktemp("conformance")
    app = Flask("tests.host", instance_path=str(folder))
    app.config.update(
        TESTING=request.param == "open",
        PROPAGATE_EXCEPTIONS=False,
        STATEFUL_DATABASE_URL=sqlite_template.copy_to(folder / "stateful_engine.sqlite"),
        STATEFUL_RATE_LIMIT="0/minute",
    )
    StatefulEngine(app)
    runtime = app.extensions["stateful_engine"]
    yield _loaded(app)
    runtime.close(timeout=2.0)


def _loaded(app: Flask) -> Any:
    door = app.extensions["stateful_engine_api"]
    found = schemathesis.openapi.from_dict({**door.openapi(), "servers": [{"url": "http://localhost"}]})
    found.app = app
    return found


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
@pytest.mark.parametrize("operation", [pytest.param(operation, id=operation.name) for operation in OPERATIONS])
def test_every_answer_is_one_that_the_document_promises(
    schema: Any, operation: Operation, mode: GenerationMode
) -> None:
    described = schema[PREFIX + braced(operation.path)][operation.method]

    @given(case=described.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def hold(case: Any) -> None:
        _check(case)

    try:
        hold()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "an operation without input cannot be called wrongly"


def _check(case: Any) -> None:
    if case.query:
        # Nobody can make up a cursor: it is checked to be one that was given.
        case.query.pop("cursor", None)
    answer = case.call()
    seen[answer.status_code] += 1
    try:
        case.validate_response(answer)
    except FailureGroup as found:
        rest = [error for error in found.exceptions if not _is_expected(case, answer.status_code, error)]
        if rest:
            raise AssertionError(f"{rest[0]}\n{case.as_curl_command()}\n{answer.text}") from None


def _is_expected(case: Any, status: int, error: BaseException) -> bool:
    """A body beyond the limit is refused before it is looked at; some things no schema can say."""
    kind, place = type(error).__name__, (case.method.upper(), case.path)
    if kind == "RejectedPositiveData":
        return place in BEYOND_SCHEMAS
    if kind == "AcceptedNegativeData":
        return status == 413 or (place in LENIENT and any(word in str(error) for word in ("`pattern`", "`enum`")))
    return False


def test_no_request_was_a_server_error() -> None:
    assert seen
    assert not [status for status in seen if status >= 500 and status != 503]
    if LONG:
        assert sum(seen.values()) >= 5000
