"""Says why ChatGPT would not import an OpenAPI document, or would not call it as it was meant.

The rules are those that the import of custom GPT Actions applies: OpenAPI 3.1.0, one https server, at most 30
operations with short texts, no custom headers, nothing referred to where it has to stand, `properties` on every
object, and a stated opinion on what is consequential.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

MAX_OPERATIONS = 30
MAX_SUMMARY = 300
MAX_PARAMETER_DESCRIPTION = 700
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
CHANGING = frozenset({"put", "post", "delete", "patch"})
OPERATION_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
UNIONS = ("allOf", "anyOf", "oneOf")
MAX_NESTING = 40


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason: where in the document, and what to do about it."""

    pointer: str
    message: str

    def __str__(self) -> str:
        return f"{self.pointer or '/'}: {self.message}"


def lint(document: Any) -> list[Problem]:
    """Everything that ChatGPT would mind about `document`; an empty list when it can be imported."""
    if not isinstance(document, Mapping):
        return [Problem("", "is no OpenAPI document; give a JSON object")]
    return [*_head(document), *_operations(document), *_security(document), *_component_schemas(document)]


def _head(document: Mapping[str, Any]) -> Iterator[Problem]:
    if document.get("openapi") != "3.1.0":
        yield Problem("/openapi", 'must be exactly "3.1.0"')
    for name in ("title", "version"):
        if not _mapping(document.get("info")).get(name):
            yield Problem(f"/info/{name}", "is missing; add it")
    servers = document.get("servers")
    if not isinstance(servers, list) or len(servers) != 1:
        yield Problem("/servers", "must be a list of exactly one server")
        return
    url = urlsplit(str(_mapping(servers[0]).get("url", "")))
    if url.scheme != "https" or not url.hostname:
        yield Problem("/servers/0/url", "must be a full https address; set STATEFUL_PUBLIC_URL")


def _operations(document: Mapping[str, Any]) -> Iterator[Problem]:
    found = list(_each(document))
    if not found:
        yield Problem("/paths", "has no operations; add at least one")
    if len(found) > MAX_OPERATIONS:
        yield Problem("/paths", f"has {len(found)} operations; leave at most {MAX_OPERATIONS}")
    seen: set[str] = set()
    for pointer, method, item, operation in found:
        yield from _identity(pointer, operation, seen)
        yield from _texts(pointer, operation)
        yield from _parameters(pointer, [*_list(item.get("parameters")), *_list(operation.get("parameters"))])
        yield from _bodies(pointer, document, operation)
        if method in CHANGING and not isinstance(operation.get("x-openai-isConsequential"), bool):
            detail = "is missing, so ChatGPT asks before every call; say true or false"
            yield Problem(f"{pointer}/x-openai-isConsequential", detail)


def _each(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
    for path, item in _mapping(document.get("paths")).items():
        for method in METHODS:
            operation = _mapping(item).get(method)
            if isinstance(operation, Mapping):
                yield f"/paths/{_step(path)}/{method}", method, item, operation


def _identity(pointer: str, operation: Mapping[str, Any], seen: set[str]) -> Iterator[Problem]:
    name = operation.get("operationId")
    if not isinstance(name, str) or not OPERATION_ID.fullmatch(name):
        yield Problem(f"{pointer}/operationId", "must be 1 to 64 letters, digits, _ or -")
    elif name in seen:
        yield Problem(f"{pointer}/operationId", f"{name} is used twice; make it unique")
    else:
        seen.add(name)


def _texts(pointer: str, operation: Mapping[str, Any]) -> Iterator[Problem]:
    if not operation.get("summary") and not operation.get("description"):
        yield Problem(pointer, "has neither summary nor description, so ChatGPT cannot know when to call it; add one")
    for name in ("summary", "description"):
        if len(str(operation.get(name, ""))) > MAX_SUMMARY:
            yield Problem(f"{pointer}/{name}", f"is longer than {MAX_SUMMARY} characters; shorten it")


def _parameters(pointer: str, parameters: list[Any]) -> Iterator[Problem]:
    for index, parameter in enumerate(parameters):
        place = f"{pointer}/parameters/{index}"
        if not isinstance(parameter, Mapping):
            yield Problem(place, "must be an object")
            continue
        if _has_reference(parameter):
            yield Problem(place, "holds a $ref; write it out")
            continue
        if parameter.get("in") not in {"path", "query"}:
            yield Problem(place, f"is in {parameter.get('in')!r}; ChatGPT sends path and query parameters only")
        if len(str(parameter.get("description", ""))) > MAX_PARAMETER_DESCRIPTION:
            yield Problem(f"{place}/description", f"is longer than {MAX_PARAMETER_DESCRIPTION} characters; shorten it")
        if not isinstance(parameter.get("schema"), Mapping):
            yield Problem(f"{place}/schema", "is missing; add it")


def _bodies(pointer: str, document: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[Problem]:
    body = operation.get("requestBody")
    if isinstance(body, Mapping):
        yield from _content(f"{pointer}/requestBody", document, body, is_request=True)
    responses = _mapping(operation.get("responses"))
    if not responses:
        yield Problem(f"{pointer}/responses", "is missing; describe at least the answer 200")
    for status, response in responses.items():
        yield from _content(f"{pointer}/responses/{status}", document, _mapping(response), is_request=False)


def _content(
    pointer: str, document: Mapping[str, Any], holder: Mapping[str, Any], *, is_request: bool
) -> Iterator[Problem]:
    for kind, media in _mapping(holder.get("content")).items():
        place = f"{pointer}/content/{_step(kind)}/schema"
        schema = _mapping(media).get("schema")
        if not isinstance(schema, Mapping):
            yield Problem(place, "is missing; add it")
            continue
        resolved = _resolve(document, schema)
        if is_request and resolved is not None and resolved.get("type") != "object":
            yield Problem(place, "must be an object; ChatGPT sends named fields")
        yield from _schema(place, document, schema, trail=())


def _component_schemas(document: Mapping[str, Any]) -> Iterator[Problem]:
    schemas = _mapping(_mapping(document.get("components")).get("schemas"))
    for name, schema in schemas.items():
        place = f"/components/schemas/{_step(name)}"
        yield from _schema(place, document, schema, trail=(f"#{place}",))


def _schema(pointer: str, document: Mapping[str, Any], schema: Any, *, trail: tuple[str, ...]) -> Iterator[Problem]:
    """What is wrong with a schema and everything below it; `trail` holds the references that led here."""
    if not isinstance(schema, Mapping):
        return
    if len(pointer.split("/")) > MAX_NESTING:
        yield Problem(pointer, "is nested too deeply; make it flatter")
        return
    if "$ref" in schema:
        yield from _referred(pointer, document, schema, trail=trail)
        return
    if schema.get("type") == "object" and not isinstance(schema.get("properties"), Mapping):
        yield Problem(pointer, "is an object without properties; add them, or properties: {} for a free one")
    for name in UNIONS:
        for index, branch in enumerate(_list(schema.get(name))):
            if _has_reference(branch):
                yield Problem(f"{pointer}/{name}/{index}", f"holds a $ref inside {name}; write it out")
            else:
                yield from _schema(f"{pointer}/{name}/{index}", document, branch, trail=trail)
    for name, inner in _mapping(schema.get("properties")).items():
        yield from _schema(f"{pointer}/properties/{_step(name)}", document, inner, trail=trail)
    for name in ("items", "additionalProperties"):
        yield from _schema(f"{pointer}/{name}", document, schema.get(name), trail=trail)


def _referred(
    pointer: str, document: Mapping[str, Any], schema: Mapping[str, Any], *, trail: tuple[str, ...]
) -> Iterator[Problem]:
    name = str(schema["$ref"])
    if name in trail:
        yield Problem(pointer, f"{name} holds itself; break the circle")
        return
    target = _resolve(document, schema)
    if target is None:
        yield Problem(pointer, f"{name} refers to nothing in this document; write it out")
        return
    yield from _schema(pointer, document, target, trail=(*trail, name))


def _resolve(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a chain of references ends at; None when it leads nowhere."""
    found: Any = schema
    for _ in range(MAX_NESTING):
        if not isinstance(found, Mapping) or "$ref" not in found:
            return found if isinstance(found, Mapping) else None
        found = _look_up(document, str(found["$ref"]))
    return None


def _look_up(document: Mapping[str, Any], reference: str) -> Any:
    if not reference.startswith("#/"):
        return None
    found: Any = document
    for step in reference[2:].split("/"):
        found = _mapping(found).get(step.replace("~1", "/").replace("~0", "~"))
    return found


def _security(document: Mapping[str, Any]) -> Iterator[Problem]:
    schemes = _mapping(_mapping(document.get("components")).get("securitySchemes"))
    for name, scheme in schemes.items():
        if _mapping(scheme).get("in") == "query":
            yield Problem(
                f"/components/securitySchemes/{_step(name)}",
                "puts a key into the URL, where the consent prompt shows it; use a header",
            )
    for index, requirement in enumerate(_list(document.get("security"))):
        for name in _mapping(requirement):
            if name not in schemes:
                yield Problem(f"/security/{index}", f"{name} is no scheme of components/securitySchemes; add it there")


def _has_reference(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "$ref" in value or any(_has_reference(item) for item in value.values())
    return isinstance(value, list) and any(_has_reference(item) for item in value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _step(name: object) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")
