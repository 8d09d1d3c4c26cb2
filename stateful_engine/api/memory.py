"""What the operations on the bot's memory share: kinds of fields, and the path to one record."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, Strict

from stateful_engine.api import fields
from stateful_engine.api.contract import Call, PathParameter
from stateful_engine.api.schemas import Model, PageQuery
from stateful_engine.domain.vocabulary import Action
from stateful_engine.errors import NotFoundError
from stateful_engine.services.recommendations import direction_of

Level = Annotated[float, Strict(), Field(ge=0, le=fields.MAX_PRICE, allow_inf_nan=False)]
"""A price as bots send it: 0 stands for none."""
Ratio = Annotated[float, Strict(), Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Amount = Annotated[float, Strict(), Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
Direction = Annotated[str, fields.OneOf(Action, direction_of)]
Object = dict[str, Any]
RowId = Annotated[int, fields.WholeNumber(1, 2**53)]


class Record(Model):
    """A record as it was stored."""

    model_config = ConfigDict(extra="allow")


class OpenPageQuery(PageQuery):
    """A page of everything, unless days are given."""

    days: fields.Days = Field(default=0, description="How many days to look back; 0 means without limit.")
    cursor: fields.FilterText | None = Field(default=None, description="The next_cursor of the page before this one.")


def row_id(name: str, what: str) -> PathParameter:
    """The variable of a path that names one record by its number."""
    return PathParameter(name, f"The id of the {what}.", "1", max_length=19)


def known_row(call: Call[Any, Any], name: str) -> int:
    """The number in the path; raises `NotFoundError` for what no record can have."""
    text = call.path[name]
    if not (text.isascii() and text.isdigit() and 0 < int(text[:20]) < 2**63):
        raise NotFoundError(f"{text[:40]!r} is no id of a record; use the one that was answered when it was made")
    return int(text)
