"""Checks query strings, paths and bodies against their models and says everything that is wrong in one answer."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from stateful_engine.api.bodies import MAX_FAULTS, escape
from stateful_engine.api.fields import INVALID_CURSOR, OWN_FAULT
from stateful_engine.domain.redaction import clean_text
from stateful_engine.errors import Fault, InvalidInputError, MalformedRequestError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from werkzeug.datastructures import MultiDict

ModelT = TypeVar("ModelT", bound=BaseModel)

_CODES = {
    "missing": "MISSING",
    "extra_forbidden": "UNKNOWN_FIELD",
    "finite_number": "NOT_FINITE",
    "greater_than": "OUT_OF_RANGE",
    "greater_than_equal": "OUT_OF_RANGE",
    "less_than": "OUT_OF_RANGE",
    "less_than_equal": "OUT_OF_RANGE",
    "string_too_long": "TOO_LONG",
    "too_long": "TOO_LONG",
    "string_too_short": "EMPTY",
    "too_short": "EMPTY",
}

_DETAILS = {
    "missing": "is missing",
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "too_long": "must have at most {max_length} items",
    "too_short": "must have at least {min_length} items",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "list_type": "must be a list",
}


def check_query(model: type[ModelT], arguments: MultiDict[str, str]) -> tuple[ModelT | None, list[Fault]]:
    """The query string as `model`, or what is wrong with it; a name that is given twice is a fault too."""
    given = {name: values[-1] for name, values in arguments.lists()}
    value, faults = _check(model, given, "/query")
    repeated = [name for name, values in arguments.lists() if len(values) > 1]
    faults += [
        Fault(f"/query/{escape(name)}", "is given more than once; give it once", "REPEATED") for name in repeated
    ]
    return value, faults


def check_body(model: type[ModelT], body: Mapping[str, Any]) -> tuple[ModelT | None, list[Fault]]:
    """The JSON object as `model`, or what is wrong with it."""
    return _check(model, {clean_text(name)[0]: value for name, value in body.items()}, "")


def refuse(faults: Iterable[Fault], *, missing_code: str = "MISSING_DATA") -> None:
    """Raise one error for all `faults`: 400 when something is merely missing, 422 when something is wrong."""
    found = list({fault.pointer: fault for fault in reversed(list(faults))}.values())[::-1]
    if not found:
        return
    kept = tuple(found[:MAX_FAULTS])
    shown = f"{_name(kept[0].pointer)} {kept[0].detail}"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    if all(fault.code.startswith("MISSING") for fault in found):
        raise MalformedRequestError(f"{shown}{more}; add what is listed in errors", code=missing_code, errors=kept)
    own_code = INVALID_CURSOR if {fault.code for fault in found} == {INVALID_CURSOR} else None
    raise InvalidInputError(f"{shown}{more}; correct what is listed in errors", code=own_code, errors=kept)


def _check(model: type[ModelT], given: Mapping[str, Any], root: str) -> tuple[ModelT | None, list[Fault]]:
    try:
        return model.model_validate(given), []
    except ValidationError as error:
        return None, _faults(model, error.errors(include_url=False, include_input=False), root)


def _faults(model: type[BaseModel], errors: Iterable[ErrorDetails], root: str) -> list[Fault]:
    faults: dict[str, Fault] = {}
    for error in errors:
        fault = _fault(model, error, root)
        faults.setdefault(fault.pointer, fault)
    return list(faults.values())


def _fault(model: type[BaseModel], error: ErrorDetails, root: str) -> Fault:
    kind, place = error["type"], error["loc"]
    pointer = root + "".join(f"/{escape(step)}" for step in place)
    if kind == "extra_forbidden":
        return Fault(pointer, _unknown(model, place), "UNKNOWN_FIELD")
    context = error.get("ctx", {})
    if kind == OWN_FAULT:
        return Fault(pointer, str(context["detail"]), str(context["code"]))
    detail = _DETAILS.get(kind, "cannot be read").format_map(context)
    return Fault(pointer, detail, _CODES.get(kind, "WRONG_TYPE"))


def _unknown(model: type[BaseModel], place: tuple[int | str, ...]) -> str:
    known = sorted(_fields(model, place[:-1]))
    nearest = difflib.get_close_matches(str(place[-1])[:64], known, n=1)
    if nearest:
        return f"is not known here; did you mean {nearest[0]}?"
    return f"is not known here; known are {', '.join(known)}" if known else "is not known here; leave it out"


def _fields(model: type[BaseModel], parents: tuple[int | str, ...]) -> set[str]:
    """The fields of the model at `parents`."""
    for step in parents:
        field = model.model_fields.get(str(step))
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            return set()
        model = inner
    return set(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _name(pointer: str) -> str:
    """A pointer as a sentence names it."""
    return pointer.removeprefix("/query").strip("/").replace("/", ".") or "the body"
