"""The OpenAPI documents, made from the registry: the full one, and the profile that ChatGPT Actions can import.

The rules of the profile (one https server, at most 30 operations, everything inlined, one type per value, flat bodies,
`x-openai-isConsequential` on every operation) are checked by `actions_lint`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from stateful_engine.api.contract import Nothing, Operation
from stateful_engine.api.json_schemas import Components, Schema, inlined, plain, tidy
from stateful_engine.api.schemas import API_VERSION, ErrorReply

Document = dict[str, Any]

TITLE = "stateful_engine"
ABOUT = "The memory of an app that serves trading signals: what was advised, what people did with it, how it ended."
BRACED = re.compile(r"<(?:[^:>]*:)?([^>]*)>")
SECURITY_SCHEMES: dict[str, Schema] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key as bearer token."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
    "basic": {"type": "http", "scheme": "basic", "description": "An API key as password."},
}
PROBLEMS = {
    400: "Malformed or missing input.",
    401: "Nobody is known to be calling.",
    403: "The caller may not do this.",
    404: "No record has this id.",
    409: "The record already says something else.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    422: "Input that is present but invalid; errors names everything that is wrong.",
    429: "Too many calls; wait as long as Retry-After says.",
    503: "The database is away or needs too long; wait as long as Retry-After says.",
}


@lru_cache(maxsize=16)
def full_document(operations: tuple[Operation, ...], *, prefix: str, server: str, secured: bool) -> Document:
    """Everything the API does, in OpenAPI 3.1; kept, so not to be changed."""
    known = Components(_models(operations))
    paths: dict[str, Any] = {}
    for operation in operations:
        path = prefix + BRACED.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _described(operation, known, secured=secured)
        if operation.body_model is not None and operation.forms:
            known.schema(operation.body_model)["anyOf"] = list(operation.forms)
    return {
        **_head(server),
        "paths": paths,
        "components": {"schemas": known.schemas, "securitySchemes": SECURITY_SCHEMES},
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
    }


@lru_cache(maxsize=16)
def actions_document(operations: tuple[Operation, ...], *, prefix: str, server: str, secured: bool) -> Document:
    """What a custom GPT may call, in the form that ChatGPT imports; kept, so not to be changed."""
    offered = [operation for operation in operations if operation.in_actions]
    known = Components(_models(offered))
    paths: dict[str, Any] = {}
    for operation in offered:
        path = prefix + BRACED.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _offered(operation, known)
    schemes = {"securitySchemes": {"bearer": SECURITY_SCHEMES["bearer"]}} if secured else {}
    return {
        **_head(server),
        "paths": paths,
        "components": {"schemas": {}, **schemes},
        **({"security": [{"bearer": []}]} if secured else {}),
    }


def _head(server: str) -> Document:
    info = {"title": TITLE, "version": API_VERSION, "description": ABOUT}
    return {"openapi": "3.1.0", "info": info, "servers": [{"url": server}]}


def _models(operations: Iterable[Operation]) -> Iterable[type[BaseModel]]:
    yield ErrorReply
    for operation in operations:
        if operation.response_model is not None:
            yield operation.response_model
        if operation.body_model is not None:
            yield operation.body_model


def _described(operation: Operation, known: Components, *, secured: bool) -> Document:
    described: Document = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": operation.description,
        "tags": [operation.tag],
        "parameters": _parameters(operation),
        "responses": _responses(operation, known, secured=secured),
        "security": [{name: []} for name in SECURITY_SCHEMES] if secured and operation.scope else [],
        "x-openai-isConsequential": operation.consequential,
    }
    if operation.scope:
        described["x-scope"] = str(operation.scope)
    if operation.body_model is not None:
        described["requestBody"] = _json_content(known.reference(operation.body_model), required=True)
    return described


def _offered(operation: Operation, known: Components) -> Document:
    """An operation with everything inlined, its body flat and its errors left out."""
    described: Document = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": operation.description,
        "parameters": [{**p, "schema": plain(p["schema"])} for p in _parameters(operation)],
        "responses": {
            str(operation.success_statuses[0]): {
                "description": "Done.",
                **_json_content(plain(inlined(_answer_schema(operation, known), known.schemas))),
            }
        },
        "x-openai-isConsequential": operation.consequential,
    }
    if operation.body_model is not None:
        body = plain(inlined(known.reference(operation.body_model), known.schemas))
        described["requestBody"] = _json_content(flat_body(operation, body), required=True)
    return described


def flat_body(operation: Operation, body: Schema) -> Schema:
    """The body without its nested form; what is required of the flat one."""
    properties = {name: value for name, value in body["properties"].items() if name not in operation.nested}
    bare = {name: value for name, value in body.items() if name != "description"}
    return {**bare, "properties": properties, "required": [*operation.flat_required] or body.get("required", [])}


def _parameters(operation: Operation) -> list[Schema]:
    return [*_path_parameters(operation), *_query_parameters(operation)]


def _path_parameters(operation: Operation) -> list[Schema]:
    return [
        {
            "name": parameter.name,
            "in": "path",
            "required": True,
            "description": parameter.description,
            "schema": {"type": "string", "minLength": 1, "maxLength": parameter.max_length},
            **({"example": parameter.example} if parameter.example else {}),
        }
        for parameter in operation.path_parameters
    ]


def _query_parameters(operation: Operation) -> list[Schema]:
    if operation.query_model is Nothing:
        return []
    schema = tidy(operation.query_model.model_json_schema())
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": value.get("description", ""),
            "schema": _bare(plain(value)),
        }
        for name, value in schema["properties"].items()
    ]


def _bare(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key != "description"}


def _responses(operation: Operation, known: Components, *, secured: bool) -> Document:
    answer = {"content": {operation.content_type: {"schema": _answer_schema(operation, known)}}}
    done = {
        str(status): {"description": "Done." if status != 202 else "Kept safe, not yet in the database.", **answer}
        for status in operation.success_statuses
    }
    return done | {
        str(status): {"description": PROBLEMS[status]} | _json_content(known.reference(ErrorReply))
        for status in _problem_statuses(operation, secured=secured)
    }


def _answer_schema(operation: Operation, known: Components) -> Schema:
    return known.reference(operation.response_model) if operation.response_model else {"type": "string"}


def _problem_statuses(operation: Operation, *, secured: bool) -> list[int]:
    statuses = {400, 422, 429, 503, *operation.statuses}
    if operation.body_model is not None:
        statuses |= {409, 413, 415}
    if secured and operation.scope is not None:
        statuses |= {401, 403}
    return sorted(statuses)


def _json_content(schema: Schema, *, required: bool | None = None) -> Document:
    content: Document = {"content": {"application/json": {"schema": schema}}}
    return content if required is None else {**content, "required": required}
