"""JSON schemas for documents: what pydantic says about a model, without noise, and inlined where needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

Schema = dict[str, Any]

REFERENCE = "#/components/schemas/"
ANYTHING: Schema = {"type": "object", "properties": {}, "additionalProperties": True}


class Components:
    """The schemas of models and of all that they hold, by name, referring to each other below `components`."""

    def __init__(self, models: Iterable[type[BaseModel]]) -> None:
        distinct = list(dict.fromkeys(models))
        references, found = models_json_schema(
            [(model, "validation") for model in distinct], ref_template=REFERENCE + "{model}"
        )
        self._references = {model: dict(schema) for (model, _), schema in references.items()}
        self.schemas: dict[str, Schema] = {name: tidy(schema) for name, schema in found["$defs"].items()}

    def reference(self, model: type[BaseModel]) -> Schema:
        """A reference to the schema of a model."""
        return self._references[model]

    def schema(self, model: type[BaseModel]) -> Schema:
        """The schema of a model itself, to be completed."""
        return self.schemas[self._references[model]["$ref"].removeprefix(REFERENCE)]


def tidy(schema: Any) -> Any:
    """The schema without noise, and with `properties` on every object."""
    if isinstance(schema, list):
        return [tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if not _is_noise(key, value)}
    if isinstance(kept.get("properties"), dict):
        kept["properties"] = {name: tidy(value) for name, value in kept["properties"].items()}
    elif kept.get("type") == "object":
        kept["properties"] = {}
    return {key: value if key in {"properties", "default", "enum"} else tidy(value) for key, value in kept.items()}


def _is_noise(key: str, value: Any) -> bool:
    """Titles repeat the names; a default of null is what leaving the field out means anyway."""
    return (key == "title" and isinstance(value, str)) or (key == "default" and value is None)


def inlined(schema: Any, known: Mapping[str, Schema]) -> Any:
    """The schema with every reference replaced by what it refers to."""
    if isinstance(schema, list):
        return [inlined(item, known) for item in schema]
    if not isinstance(schema, dict):
        return schema
    target = schema.get("$ref")
    if isinstance(target, str):
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return {**inlined(known[target.removeprefix(REFERENCE)], known), **beside}
    return {key: inlined(value, known) for key, value in schema.items()}


def plain(schema: Any) -> Any:
    """The schema as ChatGPT's importer reads it: one type per value, no null, no constants, no bare `{}`."""
    if isinstance(schema, list):
        return [plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if not set(schema) - {"description", "default"}:
        return {**ANYTHING, **_described(schema)}
    schema = _without_null(_one_branch(schema))
    if "const" in schema:
        schema = {**{key: value for key, value in schema.items() if key != "const"}, "enum": [schema["const"]]}
    names = schema.get("properties")
    rest = {key: plain(value) for key, value in schema.items() if key not in {"properties", "default", "enum"}}
    kept = {key: schema[key] for key in ("default", "enum") if key in schema}
    if isinstance(names, dict):
        kept["properties"] = {name: plain(value) for name, value in names.items()}
    return {**rest, **kept}


def _one_branch(schema: Schema) -> Schema:
    """A value or null becomes the value; other unions stay as they are."""
    branches = [branch for branch in schema.get("anyOf", []) if branch.get("type") != "null"]
    if len(branches) != 1:
        return schema
    beside = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**branches[0], **beside}


def _without_null(schema: Schema) -> Schema:
    kinds = schema.get("type")
    if isinstance(kinds, list):
        schema = {**schema, "type": next(kind for kind in kinds if kind != "null")}
    if isinstance(schema.get("enum"), list):
        schema = {**schema, "enum": [word for word in schema["enum"] if word is not None]}
    return schema


def _described(schema: Schema) -> Schema:
    return {"description": schema["description"]} if "description" in schema else {}
