from __future__ import annotations

import copy
from typing import Any

import pytest

from stateful_engine.api.actions_lint import lint
from stateful_engine.testing import assert_actions_schema

GOOD: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Signals", "version": "1"},
    "servers": [{"url": "https://signals.example"}],
    "paths": {
        "/signal/{symbol}": {
            "post": {
                "operationId": "askSignal",
                "summary": "Ask for a signal",
                "parameters": [{"name": "symbol", "in": "path", "required": True, "schema": {"type": "string"}}],
                "requestBody": {
                    "content": {"application/json": {"schema": {"type": "object", "properties": {}}}},
                },
                "responses": {
                    "200": {
                        "description": "The signal.",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Signal"}}},
                    }
                },
                "x-openai-isConsequential": False,
            }
        }
    },
    "components": {
        "schemas": {"Signal": {"type": "object", "properties": {"action": {"type": "string"}}}},
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
    },
    "security": [{"bearer": []}],
}
OPERATION = "/paths/~1signal~1{symbol}/post"


def changed(path: str, value: Any) -> dict[str, Any]:
    """The good document with the value at a dotted path replaced; `...` takes it away."""
    made = copy.deepcopy(GOOD)
    *parents, last = path.split(">")
    place: Any = made
    for step in parents:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if value is ...:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return made


POST = "paths>/signal/{symbol}>post"
BODY = f"{POST}>requestBody>content>application/json>schema"
ANSWER = f"{POST}>responses>200>content>application/json>schema"
LONG = "x" * 301


def test_a_document_that_keeps_the_rules_has_no_problems() -> None:
    assert lint(GOOD) == []
    assert_actions_schema(GOOD)


@pytest.mark.parametrize(
    ("path", "value", "pointer"),
    [
        ("openapi", "3.0.3", "/openapi"),
        ("openapi", "3.1.1", "/openapi"),
        ("info", ..., "/info/title"),
        ("servers", [], "/servers"),
        ("servers", [{"url": "https://a.example"}, {"url": "https://b.example"}], "/servers"),
        ("servers", [{"url": "http://signals.example"}], "/servers/0/url"),
        ("servers", [{"url": "/"}], "/servers/0/url"),
        ("paths", {}, "/paths"),
        (f"{POST}>operationId", ..., f"{OPERATION}/operationId"),
        (f"{POST}>operationId", "ask signal", f"{OPERATION}/operationId"),
        (f"{POST}>operationId", "x" * 65, f"{OPERATION}/operationId"),
        (f"{POST}>summary", ..., OPERATION),
        (f"{POST}>summary", LONG, f"{OPERATION}/summary"),
        (f"{POST}>description", LONG, f"{OPERATION}/description"),
        (f"{POST}>responses", ..., f"{OPERATION}/responses"),
        (f"{POST}>x-openai-isConsequential", ..., f"{OPERATION}/x-openai-isConsequential"),
        (f"{POST}>parameters>0>in", "header", f"{OPERATION}/parameters/0"),
        (f"{POST}>parameters>0>in", "cookie", f"{OPERATION}/parameters/0"),
        (f"{POST}>parameters>0>description", "x" * 701, f"{OPERATION}/parameters/0/description"),
        (f"{POST}>parameters>0>schema", ..., f"{OPERATION}/parameters/0/schema"),
        (f"{POST}>parameters>0>schema", {"$ref": "#/components/schemas/Signal"}, f"{OPERATION}/parameters/0"),
        (f"{POST}>parameters>0", {"$ref": "#/components/parameters/x"}, f"{OPERATION}/parameters/0"),
        (f"{POST}>parameters>0", "symbol", f"{OPERATION}/parameters/0"),
        (BODY, {"type": "object"}, f"{OPERATION}/requestBody/content/application~1json/schema"),
        (BODY, {"type": "array", "items": {}}, f"{OPERATION}/requestBody/content/application~1json/schema"),
        (ANSWER, ..., f"{OPERATION}/responses/200/content/application~1json/schema"),
        (ANSWER, {"$ref": "#/nowhere"}, f"{OPERATION}/responses/200/content/application~1json/schema"),
        (ANSWER, {"$ref": "https://x.example/y"}, f"{OPERATION}/responses/200/content/application~1json/schema"),
        ("components>schemas>Signal", {"type": "object"}, "/components/schemas/Signal"),
        ("security", [{"other": []}], "/security/0"),
        (
            "components>securitySchemes>bearer",
            {"type": "apiKey", "in": "query", "name": "key"},
            "/components/securitySchemes/bearer",
        ),
    ],
)
def test_each_broken_rule_is_found_where_it_is_broken(path: str, value: Any, pointer: str) -> None:
    problems = lint(changed(path, value))

    assert pointer in [problem.pointer for problem in problems]
    with pytest.raises(AssertionError, match="would not take this document"):
        assert_actions_schema(changed(path, value))


@pytest.mark.parametrize("union", ["allOf", "anyOf", "oneOf"])
def test_a_reference_inside_a_union_is_found(union: str) -> None:
    schema = {"type": "object", "properties": {"a": {union: [{"$ref": "#/components/schemas/Signal"}]}}}

    (problem,) = lint(changed(BODY, schema))

    assert problem.pointer.endswith(f"/properties/a/{union}/0")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "object"}}},
        {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "object"}}}},
        {"type": "object", "properties": {"a": {"anyOf": [{"type": "object"}, {"type": "null"}]}}},
        {"type": "object", "properties": {}, "additionalProperties": {"type": "object"}},
    ],
)
def test_an_object_without_properties_is_found_at_any_depth(schema: Any) -> None:
    (problem,) = lint(changed(BODY, schema))

    assert "object without properties" in problem.message


def test_a_schema_that_is_nested_beyond_reason_is_found() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(40):
        schema = {"type": "object", "properties": {"a": schema}}

    (problem,) = lint(changed(BODY, schema))

    assert "nested too deeply" in problem.message


def test_a_schema_that_holds_itself_is_found() -> None:
    tree = {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/Signal"}}}

    problems = lint(changed("components>schemas>Signal", tree))

    assert problems
    assert all("holds itself" in problem.message for problem in problems)


def test_a_circle_of_references_that_leads_nowhere_is_found() -> None:
    made = changed("components>schemas>Signal", {"$ref": "#/components/schemas/Signal"})

    assert any("holds itself" in problem.message or "refers to nothing" in problem.message for problem in lint(made))


def test_the_31st_operation_is_one_too_many() -> None:
    made = copy.deepcopy(GOOD)
    for number in range(30):
        item = copy.deepcopy(GOOD["paths"]["/signal/{symbol}"])
        item["post"]["operationId"] = f"ask{number}"
        made["paths"][f"/signal/{{symbol}}/{number}"] = item

    assert [problem.message for problem in lint(made)] == ["has 31 operations; leave at most 30"]


def test_two_operations_may_not_share_a_name() -> None:
    made = copy.deepcopy(GOOD)
    made["paths"]["/other/{symbol}"] = copy.deepcopy(GOOD["paths"]["/signal/{symbol}"])

    (problem,) = lint(made)

    assert "used twice" in problem.message


@pytest.mark.parametrize("document", [None, [], "text", 3, {}, {"paths": []}, {"paths": {"/": None}}, {"servers": [3]}])
def test_what_is_no_document_is_refused_without_breaking(document: Any) -> None:
    assert lint(document)
