"""The kinds of value that query strings and bodies are made of: each reads strictly, folds what may be folded, and
describes itself to OpenAPI.

Numbers of a body must be numbers (a text, a boolean, NaN or Infinity is none); numbers of a query string are digits.
Texts that a filter compares may not hold what no database stores; texts that are kept are cleaned later instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Strict,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from stateful_engine.domain import clock
from stateful_engine.domain.timeframes import canonical_timeframe
from stateful_engine.domain.vocabulary import Action, Breakdown, InteractionSource, InteractionType, Outcome, Weekday
from stateful_engine.errors import InvalidInputError
from stateful_engine.services import inputs
from stateful_engine.storage import gpt_queries, interactions, signals
from stateful_engine.storage.pages import decode_cursor

OWN_FAULT = "stateful"
INVALID_CURSOR = "INVALID_CURSOR"
MAX_DAYS = 36_500
MAX_PRICE = 1e12
MAX_PERCENTAGE = 1e6
MAX_TEXT = 20_000
MAX_REASONING = 100_000
MAX_NAME = 255
LEAST_ID, MOST_ID = -(2**63), 2**63 - 1
EXACT = 2**53
"""Up to this every integer has a float of its own."""
SYMBOL_PATTERN = "^[A-Z]{6,12}$"
TIMEFRAMES = "1m 3m 5m 15m 30m 1H 2H 4H 6H 8H 12H 1D 3D 1W 1M".split()
"""What documents name; other spellings and lengths are understood too."""

SURROGATES = range(0xD800, 0xE000)


def wrong(code: str, detail: str) -> PydanticCustomError:
    """The error by which a validator here says what it minds."""
    return PydanticCustomError(OWN_FAULT, "{detail}", {"code": code, "detail": detail})


class DocumentProfile(Enum):
    """Which OpenAPI document."""

    full = "full"
    actions = "actions"


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """A whole number between two others: a number in a body, and where `digits` are allowed, in a query string."""

    least: int
    most: int
    digits: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}

    def read(self, value: Any) -> int:
        """The number, or what is wrong with it."""
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and value == value // 1
        number = int(value) if is_number else self._from_digits(value)
        if not self.least <= number <= self.most:
            raise wrong("OUT_OF_RANGE", f"must be from {self.least} to {self.most}")
        return number

    def _from_digits(self, value: Any) -> int:
        if not self.digits or not isinstance(value, str) or not re.fullmatch(r"-?[0-9]{1,18}", value):
            raise wrong("WRONG_TYPE", f"must be a whole number from {self.least} to {self.most}")
        return int(value)


@dataclass(frozen=True, slots=True)
class OneOf:
    """A word of a closed vocabulary, in any case and in the spellings that direct calls take too."""

    words: type[Enum]
    fold: Callable[[Any], str]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "enum": self._known()}

    def read(self, value: Any) -> str:
        """The word as it is spelled in the vocabulary, or which words there are."""
        word = self._folded(value) if isinstance(value, str) and len(value) <= MAX_NAME else ""
        if word not in self._known():
            raise wrong("NOT_ALLOWED", f"must be one of {', '.join(self._known())}")
        return word

    def _known(self) -> list[str]:
        return [str(word.value) for word in self.words]

    def _folded(self, value: str) -> str:
        try:
            return self.fold(value)
        except InvalidInputError:
            return ""


@dataclass(frozen=True, slots=True)
class CursorOf:
    """The `next_cursor` of a page of one table."""

    table: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": 512}

    def read(self, value: Any) -> str:
        """The cursor, when it is one of this table."""
        try:
            decode_cursor(self.table, value if isinstance(value, str) else "")
        except InvalidInputError:
            raise wrong(INVALID_CURSOR, "is no cursor of this list; send a next_cursor as it was given") from None
        return str(value)


def is_storable(text: str) -> bool:
    """Whether a database can hold, and therefore find, this text."""
    return not any(character == "\0" or ord(character) in SURROGATES for character in text)


def _searchable(value: Any) -> Any:
    if isinstance(value, str) and not is_storable(value):
        raise wrong("NOT_ALLOWED", "holds characters that no record can hold; remove NUL and surrogate characters")
    return value


def _timeframe(value: Any) -> Any:
    found = canonical_timeframe(_searchable(value)) if isinstance(value, str) else None
    if found is None:
        raise wrong("NOT_ALLOWED", "is no timeframe; use one such as 1m, 5m, 15m, 1H, 4H, 1D, 1W or 1M")
    return found


def _upper(value: str) -> str:
    return value.strip().upper()


def _query_flag(value: Any) -> Any:
    words = {"true": True, "1": True, "false": False, "0": False}
    known = words.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(known, bool):
        raise wrong("WRONG_TYPE", "must be true or false")
    return known


def _person(value: Any) -> Any:
    """Ids of people are text; messengers send them as numbers. A large one that is no integer has been rounded."""
    if isinstance(value, float):
        is_exact = abs(value) <= EXACT and value.is_integer()
    else:
        is_exact = isinstance(value, int) and not isinstance(value, bool) and LEAST_ID <= value <= MOST_ID
    return str(int(value)) if is_exact else value


def _moment(value: Any) -> Any:
    if not isinstance(value, str) or not re.match(r"[0-9]{4}-", value):
        raise wrong("WRONG_TYPE", "must be a time as text, for example 2026-01-31T12:00:00Z")
    try:
        moment = _TIMES.validate_python(value)
    except ValidationError:
        raise wrong("WRONG_TYPE", "is no time; write it as ISO 8601, for example 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    if not datetime(2000, 1, 1, tzinfo=timezone.utc) <= moment <= clock.now() + timedelta(days=1):
        raise wrong("OUT_OF_RANGE", "must be after the year 2000 and not in the future")
    return moment.astimezone(timezone.utc)


def _source(value: str) -> str:
    """The direct calls take any text for UNKNOWN; a caller of the API is told which words there are."""
    word = inputs.interaction_source(value)
    return word if word != InteractionSource.UNKNOWN.value or _upper(value) == word else ""


_TIMES = TypeAdapter(datetime)

Limit = Annotated[int, WholeNumber(1, 100, digits=True)]
Days = Annotated[int, WholeNumber(0, MAX_DAYS, digits=True)]
DaysToKeep = Annotated[int, WholeNumber(1, MAX_DAYS)]
StatusCode = Annotated[int, WholeNumber(100, 599)]
HourOfDay = Annotated[int, WholeNumber(0, 23, digits=True)]
WholePercent = Annotated[int, WholeNumber(0, 100, digits=True)]
Tokens = Annotated[int, WholeNumber(0, 10**9)]
Rating = Annotated[int, WholeNumber(1, 5)]

Price = Annotated[float, Strict(), Field(gt=0, le=MAX_PRICE, allow_inf_nan=False)]
Percentage = Annotated[float, Strict(), Field(ge=-MAX_PERCENTAGE, le=MAX_PERCENTAGE, allow_inf_nan=False)]
Confidence = Annotated[float, Strict(), Field(ge=0, le=100, allow_inf_nan=False)]
Milliseconds = Annotated[float, Strict(), Field(ge=0, le=1e9, allow_inf_nan=False)]
Cost = Annotated[float, Strict(), Field(ge=0, le=1e6, allow_inf_nan=False)]
Flag = Annotated[bool, Strict()]
QueryFlag = Annotated[bool, BeforeValidator(_query_flag)]

FilterText = Annotated[
    str,
    Field(min_length=1, max_length=MAX_NAME, json_schema_extra={"pattern": r"^[^\u0000]+$"}),
    BeforeValidator(_searchable),
]
SignalCursor = Annotated[str, CursorOf(signals.TABLE)]
QueryCursor = Annotated[str, CursorOf(gpt_queries.TABLE)]
InteractionCursor = Annotated[str, CursorOf(interactions.TABLE)]
Name = Annotated[str, Strict(), Field(min_length=1, max_length=MAX_NAME)]
Text = Annotated[str, Strict(), Field(max_length=MAX_TEXT)]
PersonId = Annotated[
    str,
    BeforeValidator(_person),
    Field(min_length=1, max_length=MAX_NAME),
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "minLength": 1,
            "maxLength": MAX_NAME,
            "minimum": LEAST_ID,
            "maximum": MOST_ID,
        }
    ),
]
Timeframe = Annotated[str, BeforeValidator(_timeframe), WithJsonSchema({"type": "string", "enum": TIMEFRAMES})]
Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]

WeekdayWord = Annotated[str, OneOf(Weekday, str.capitalize)]
BreakdownWord = Annotated[str, OneOf(Breakdown, str.lower)]
Profile = Annotated[str, OneOf(DocumentProfile, str.lower)]
ActionWord = Annotated[str, OneOf(Action, _upper)]
OutcomeWord = Annotated[str, OneOf(Outcome, inputs.outcome)]
InteractionTypeWord = Annotated[str, OneOf(InteractionType, inputs.interaction_type)]
InteractionSourceWord = Annotated[str, OneOf(InteractionSource, _source)]

AnyCondition = Annotated[Any, WithJsonSchema({"type": ["string", "object", "null"]})]
AnyLabel = Annotated[Any, WithJsonSchema({"type": ["string", "null"], "maxLength": MAX_NAME})]
AnyTimeframe = Annotated[Any, WithJsonSchema({"type": ["string", "null"], "maxLength": 24})]
AnyProse = Annotated[Any, WithJsonSchema({"type": ["string", "null"], "maxLength": MAX_REASONING})]
AnySymbol = Annotated[Any, WithJsonSchema({"type": ["string", "null"], "pattern": SYMBOL_PATTERN})]
AnyAction = Annotated[Any, WithJsonSchema({"type": ["string", "null"], "enum": [*Action.__members__, None]})]
AnyPercent = Annotated[Any, WithJsonSchema({"type": ["number", "null"], "minimum": 0, "maximum": 100})]
AnyNumber = Annotated[Any, WithJsonSchema({"type": ["number", "null"], "minimum": 0, "maximum": MAX_PRICE})]
AnyObject = Annotated[Any, WithJsonSchema({"type": ["object", "null"], "properties": {}, "additionalProperties": True})]
"""Values that `domain.direct` reads, folds and checks; here their plain form is described, not every spelling."""

WHOLE_SIGNAL = {
    "required": ["symbol", "action"],
    "properties": {"symbol": {"type": "string"}, "action": {"type": "string"}},
}
FLAT_SIGNAL = {
    **WHOLE_SIGNAL,
    "properties": {**WHOLE_SIGNAL["properties"], "signal_data": {"type": "null"}},  # type: ignore[dict-item]
}
WHOLE_QUERY = {"required": ["endpoint"], "properties": {"endpoint": {"type": "string"}}}

CLIENT_REF = "Your own name for this call; repeating the call with it acts once."
