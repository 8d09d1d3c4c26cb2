"""The tools of MCP, made from the registry: what a model may call, in which form, and what it answers.

Path, query and body of an operation become one flat object of arguments. The envelope of the HTTP answers is left
out: what a model reads costs tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from stateful_engine.access import Principal
from stateful_engine.api.bodies import infinite_numbers
from stateful_engine.api.contract import Call, Nothing, Operation
from stateful_engine.api.json_schemas import Components, Schema, inlined, plain, tidy
from stateful_engine.api.openapi import flat_body
from stateful_engine.api.schemas import Envelope
from stateful_engine.api.validation import check_body, refuse
from stateful_engine.domain.vocabulary import InteractionSource
from stateful_engine.errors import Fault
from stateful_engine.request_info import RequestInfo

ENVELOPE = frozenset(Envelope.model_fields) - {"truncated"}


@dataclass(frozen=True, slots=True)
class Tool:
    """One operation as models call it; `described` is its entry in `tools/list`."""

    operation: Operation
    described: Mapping[str, Any]


@lru_cache(maxsize=4)
def tools_of(operations: tuple[Operation, ...]) -> Mapping[str, Tool]:
    """The tools for these operations by name, in the order of the registry."""
    offered = [operation for operation in operations if operation.in_mcp]
    known = Components(_models(offered))
    return {operation.name: Tool(operation, _described(operation, known)) for operation in offered}


def _models(operations: Iterable[Operation]) -> Iterable[Any]:
    for operation in operations:
        yield operation.response_model
        if operation.body_model is not None:
            yield operation.body_model


def _described(operation: Operation, known: Components) -> dict[str, Any]:
    return {
        "name": operation.name,
        "title": operation.summary,
        "description": operation.description,
        "inputSchema": _input_schema(operation, known),
        "outputSchema": _output_schema(operation, known),
        "annotations": {
            "readOnlyHint": operation.read_only,
            "destructiveHint": operation.consequential,
            "idempotentHint": operation.read_only or operation.repeatable,
            "openWorldHint": False,
        },
    }


def _input_schema(operation: Operation, known: Components) -> Schema:
    schemas = [_path_schema(operation)]
    if operation.query_model is not Nothing:
        schemas.append(plain(tidy(operation.query_model.model_json_schema())))
    if operation.body_model is not None:
        body = plain(inlined(known.reference(operation.body_model), known.schemas))
        body = flat_body(operation, body)
        for name, value in _by_mcp(operation.body_model).items():
            body["properties"][name] = {**body["properties"][name], "default": value}
        schemas.append(body)
    return {
        "type": "object",
        "properties": {name: value for schema in schemas for name, value in schema["properties"].items()},
        "required": [name for schema in schemas for name in schema.get("required", [])],
        "additionalProperties": schemas[-1].get("additionalProperties", operation.body_model is not None),
    }


def _path_schema(operation: Operation) -> Schema:
    properties = {
        one.name: {"type": "string", "minLength": 1, "maxLength": one.max_length, "description": one.description}
        for one in operation.path_parameters
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _output_schema(operation: Operation, known: Components) -> Schema:
    schema = inlined(known.reference(operation.response_model), known.schemas)  # type: ignore[arg-type]
    kept = {name: value for name, value in schema["properties"].items() if name not in ENVELOPE}
    required = [name for name in schema.get("required", []) if name not in ENVELOPE]
    bare: Schema = _undescribed({**schema, "properties": kept, "required": required})
    return bare


def _undescribed(schema: Any) -> Any:
    """The schema without the descriptions: clients check answers by it, and a model reads the answers themselves."""
    if isinstance(schema, list):
        return [_undescribed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    bare = {key: _undescribed(value) for key, value in schema.items() if key not in {"description", "properties"}}
    if isinstance(schema.get("properties"), dict):
        bare["properties"] = {name: _undescribed(value) for name, value in schema["properties"].items()}
    return bare


def read_call(
    operation: Operation, arguments: Mapping[str, Any], info: RequestInfo, principal: Principal
) -> Call[Any, Any]:
    """The checked call; raises as the HTTP door does, with every fault at once, by pointers into the arguments."""
    path, faults = _path(operation, arguments)
    rest = {name: value for name, value in arguments.items() if name not in path}
    if operation.body_model is None:
        query_fields, body_fields = rest, {}
    else:
        names = operation.query_model.model_fields
        query_fields = {name: value for name, value in rest.items() if name in names}
        body_fields = _by_mcp(operation.body_model) | {name: rest[name] for name in rest if name not in names}
    query, wrong = check_body(operation.query_model, query_fields)
    faults = [*faults, *wrong, *_unwanted(operation, rest), *infinite_numbers(arguments)]
    body: Any = Nothing()
    if operation.body_model is not None:
        body, wrong = check_body(operation.body_model, body_fields)
        faults += [*wrong, *(operation.check_body(body_fields) if operation.check_body else ())]
    refuse(faults, missing_code=operation.missing_code)
    return Call(path, query, body, body_fields, info, principal)


def _by_mcp(model: type[BaseModel]) -> dict[str, Any]:
    """What a body says that names no door: that somebody acted through this one."""
    field = model.model_fields.get("source")
    return {"source": InteractionSource.MCP.value} if field and field.default == InteractionSource.API.value else {}


def _path(operation: Operation, arguments: Mapping[str, Any]) -> tuple[dict[str, str], list[Fault]]:
    """The variables of the path; a whole number is as good as its text."""
    path: dict[str, str] = {}
    faults: list[Fault] = []
    for parameter in operation.path_parameters:
        value = arguments.get(parameter.name)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        text = str(value) if is_number else value
        path[parameter.name] = text if isinstance(text, str) else ""
        if value is None or value == "":
            faults.append(Fault(f"/{parameter.name}", "is missing", "MISSING"))
        elif not isinstance(text, str):
            faults.append(Fault(f"/{parameter.name}", "must be text", "WRONG_TYPE"))
    return path, faults


def _unwanted(operation: Operation, rest: Mapping[str, Any]) -> list[Fault]:
    """Arguments for an operation that takes neither a query nor a body."""
    if operation.body_model is not None or operation.query_model is not Nothing:
        return []
    return [Fault(f"/{name[:64]}", "is not known here; leave it out", "UNKNOWN_FIELD") for name in rest]


def flat_fault(fault: Fault) -> Fault:
    """A fault with a pointer into the arguments."""
    return replace(fault, pointer=fault.pointer.removeprefix("/query"))
