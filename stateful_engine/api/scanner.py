"""Operations on the scanner: what it saw, and whom it told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from stateful_engine.api import fields
from stateful_engine.api.contract import Answer, Call, Nothing, Operation
from stateful_engine.api.memory import Amount, Direction, OpenPageQuery, Record, known_row, row_id
from stateful_engine.api.pages import page_reply
from stateful_engine.api.schemas import Body, Envelope, PageEnvelope
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.services.scanner import ScannerLogger

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

RESULT_ID = row_id("result_id", "scanner result")


class ScannerBody(Body):
    """One look at one symbol."""

    symbol: fields.FilterText = Field(description="What was looked at.")
    timeframe: fields.Timeframe = Field(default="15m", description="Candle length.")
    direction: Direction = Field(default="HOLD", description="BUY, SELL or HOLD.")
    confidence: fields.Confidence = Field(default=0, description="How sure, 0 to 100.")
    rsi: Amount | None = Field(default=None, description="Relative strength index.")
    adx: Amount | None = Field(default=None, description="Average directional index.")
    atr: Amount | None = Field(default=None, description="Average true range.")
    market_regime: fields.Name | None = Field(default=None, description="The state of the market.")
    reason: fields.Text = Field(default="", description="Why.")
    bar_time: fields.Moment | None = Field(default=None, description="The bar; one direction of one bar is kept once.")
    signal_id: fields.FilterText | None = Field(default=None, description="The signal that came of it.")
    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class NotifiedBody(Body):
    """Nothing more is needed."""

    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class ScannerQuery(OpenPageQuery):
    """Which results to list."""

    symbol: fields.FilterText | None = Field(default=None, description="Only this symbol.")


class ScannerReply(Envelope):
    """The result."""

    result_id: int


class NotifiedReply(ScannerReply):
    """Whether this call was the first to mark it."""

    first: bool


class ScannerResultsReply(PageEnvelope):
    """A page of results, newest first."""

    results: list[Record]


def create(runtime: Runtime, call: Call[Nothing, ScannerBody]) -> Answer:
    """Record one look."""
    given = call.body.model_dump(exclude={"client_ref"}, exclude_none=True)
    return {"result_id": ScannerLogger(runtime.database).log_result(**given)}


def notified(runtime: Runtime, call: Call[Nothing, NotifiedBody]) -> Answer:
    """Mark a result as told."""
    result_id = known_row(call, "result_id")
    return {"result_id": result_id, "first": ScannerLogger(runtime.database).mark_notified(result_id)}


def listed(runtime: Runtime, call: Call[ScannerQuery, Nothing]) -> Answer:
    """One page of results."""
    wanted = call.query
    scanner = ScannerLogger(runtime.database)
    page = scanner.page(wanted.limit, wanted.cursor, days=wanted.days, symbol=wanted.symbol)
    return page_reply("results", page, wanted)


OPERATIONS = (
    Operation(
        name="createScannerResult",
        method="POST",
        path="/scanner",
        summary="Record what the scanner saw",
        description="Records one look of the scanner at one symbol; one direction of one bar is kept once.",
        scope=Scope.SIGNALS_WRITE,
        handler=create,
        body_model=ScannerBody,
        response_model=ScannerReply,
        in_actions=False,
        tag="scanner",
    ),
    Operation(
        name="getScannerResults",
        method="GET",
        path="/scanner",
        summary="List what the scanner saw",
        description="Lists results of the scanner, newest first.",
        scope=Scope.SIGNALS_READ,
        handler=listed,
        query_model=ScannerQuery,
        response_model=ScannerResultsReply,
        in_actions=False,
        tag="scanner",
    ),
    Operation(
        name="markScannerResultNotified",
        method="POST",
        path="/scanner/<result_id>/notified",
        summary="Mark a result as told",
        description="Marks a result as told; `first` says whether this call was the one that may tell it.",
        scope=Scope.SIGNALS_WRITE,
        handler=notified,
        body_model=NotifiedBody,
        response_model=NotifiedReply,
        path_parameters=(RESULT_ID,),
        statuses=(404,),
        in_actions=False,
        tag="scanner",
    ),
)
