"""The API does what its document says, whatever it is sent: schemathesis makes up the requests.

A short run by default; with `STATEFUL_TEST_LONG=1` more than 5 000 requests.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import ignored_auth

from stateful_engine import StatefulEngine
from stateful_engine.api.contract import Operation
from stateful_engine.api.operations import OPERATIONS, braced
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.services.api_keys import ApiKeys
from tests.api.calls import GOOD_BODIES, PREFIX

if TYPE_CHECKING:
    from pathlib import Path

    from tests.databases import SqliteTemplate

LONG = bool(os.environ.get("STATEFUL_TEST_LONG"))
EXAMPLES = 80 if LONG else 3

BEYOND_SCHEMAS = {
    f"{PREFIX}/outcomes/resolve": "what candles mean together",
    f"{PREFIX}/webhooks": "which addresses are public",
    f"{PREFIX}/experiments": "what the parts of a design mean together",
}
"""Beginnings of paths that may refuse what their schema allows, because a schema cannot say everything."""

LENIENT = {
    ("POST", f"{PREFIX}/track-signal"): "the document names one spelling of symbols and verbs of many",
    ("POST", f"{PREFIX}/outcomes/resolve"): "likewise",
}
"""Operations that take more spellings than their schema names."""

SPELLINGS = ("`pattern`", "`enum`", "ai_model: Incorrect type", "prompt_version: Inc", "source_engine: Inc")

seen: Counter[int] = Counter()

MILLENNIUM = datetime(2001, 1, 1, tzinfo=timezone.utc)
schemathesis.openapi.format(
    "date-time", st.integers(0, 750_000_000).map(lambda seconds: (MILLENNIUM + timedelta(seconds=seconds)).isoformat())
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conformance")


@contextmanager
def served(folder: Path, url: str, **config: Any) -> Iterator[Any]:
    """The document of an app, ready to be called."""
    app = Flask("tests.host", instance_path=str(folder))
    settled = {"PROPAGATE_EXCEPTIONS": False, "STATEFUL_DATABASE_URL": url, "STATEFUL_RATE_LIMIT": "0/minute"}
    app.config.update(settled | config)
    StatefulEngine(app)
    door = app.extensions["stateful_engine_api"]
    schema = schemathesis.openapi.from_dict({**door.openapi(), "servers": [{"url": "http://localhost"}]})
    schema.app = app
    yield schema
    app.extensions["stateful_engine"].close(timeout=2.0)


@pytest.fixture(scope="module")
def schema(folder: Path, sqlite_template: SqliteTemplate) -> Iterator[Any]:
    """An app that lets everybody in."""
    with served(folder, sqlite_template.copy_to(folder / "open.sqlite"), TESTING=True) as found:
        yield found


@pytest.fixture(scope="module")
def closed_schema(folder: Path, sqlite_template: SqliteTemplate) -> Iterator[Any]:
    """An app that asks for a key."""
    with served(folder / "closed", sqlite_template.copy_to(folder / "closed.sqlite")) as found:
        yield found


@pytest.fixture(scope="module")
def holder(closed_schema: Any) -> dict[str, str]:
    """The headers of somebody whose key opens everything."""
    database = closed_schema.app.extensions["stateful_engine"].database
    return {"Authorization": f"Bearer {ApiKeys(database).create('conformance', [Scope.ADMIN.value]).text}"}


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
@pytest.mark.parametrize("operation", [pytest.param(operation, id=operation.name) for operation in OPERATIONS])
def test_every_answer_is_one_that_the_document_promises(
    schema: Any, operation: Operation, mode: GenerationMode
) -> None:
    _hold(_described(schema, operation).as_strategy(generation_mode=mode), mode, examples=EXAMPLES)


@pytest.mark.parametrize("operation", [pytest.param(operation, id=operation.name) for operation in OPERATIONS])
def test_a_closed_app_answers_as_its_document_promises(
    closed_schema: Any, operation: Operation, holder: dict[str, str]
) -> None:
    described = _described(closed_schema, operation)
    if LONG:
        valid = described.as_strategy(generation_mode=GenerationMode.POSITIVE)
        _hold(valid, GenerationMode.POSITIVE, examples=EXAMPLES // 10)
        _hold(valid, GenerationMode.POSITIVE, examples=EXAMPLES // 4, headers=holder)
    body = {"body": GOOD_BODIES[operation.name]} if operation.body_model is not None else {}
    path = {parameter.name: parameter.example or "1" for parameter in operation.path_parameters}
    case = described.Case(path_parameters=path, media_type="application/json" if body else None, **body)

    answer = case.call()
    case.validate_response(answer)

    assert answer.status_code == (200 if operation.scope is None else 401)


def _described(schema: Any, operation: Operation) -> Any:
    return schema[PREFIX + braced(operation.path)][operation.method]


def _hold(cases: Any, mode: GenerationMode, *, examples: int, headers: dict[str, str] | None = None) -> None:
    @given(case=cases)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def hold(case: Any) -> None:
        _check(case, headers or {})

    try:
        hold()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "an operation without input cannot be called wrongly"


def _check(case: Any, headers: dict[str, str]) -> None:
    if case.query:
        # Nobody can make up a cursor: it is checked to be one that was given.
        case.query.pop("cursor", None)
    answer = case.call(headers=headers)
    seen[answer.status_code] += 1
    try:
        case.validate_response(answer, excluded_checks=[ignored_auth] if headers else [])
    except FailureGroup as found:
        rest = [error for error in found.exceptions if not _is_expected(case, answer, error)]
        if rest:
            raise AssertionError(f"{rest[0]}\n{case.as_curl_command()}\n{answer.text}") from None


def _is_expected(case: Any, answer: Any, error: BaseException) -> bool:
    """A body beyond the limit is refused before it is looked at; some things no schema can say."""
    kind, place = type(error).__name__, (case.method.upper(), case.path)
    if kind == "RejectedPositiveData":
        # Of texts in the form of a symbol, some name no instrument: UNKNOWN, CRYPTO.
        return any(case.path.startswith(path) for path in BEYOND_SCHEMAS) or "INVALID_SYMBOL" in answer.text
    if kind == "AcceptedNegativeData":
        return (
            answer.status_code == 413
            or (place in LENIENT and any(word in str(error) for word in SPELLINGS))
            or _beside(case, error)
        )
    return False


def _beside(case: Any, error: BaseException) -> bool:
    """Whether the fault is in the flat form of a signal whose nested form is there and is read instead."""
    nested = isinstance(case.body, dict) and "signal_data" in case.body
    return nested and case.path.endswith("/track-signal") and "/properties/signal_data" not in str(error)


def test_no_request_was_a_server_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert seen
    with capsys.disabled():
        told = ", ".join(f"{count} × {status}" for status, count in sorted(seen.items()))
        sys.stdout.write(f"\nconformance: {seen.total()} requests: {told}\n")
    assert not [status for status in seen if status >= 500]
    if LONG:
        assert seen.total() >= 5000
