"""Operation on outcomes: resolve open signals on candles that come with the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

from stateful_engine.api import fields
from stateful_engine.api.contract import Answer, Call, Nothing, Operation
from stateful_engine.api.schemas import Body, Envelope, Model, Timestamp
from stateful_engine.domain.barrier_rules import AmbiguityPolicy, EntryMode, GapFill, Resolution
from stateful_engine.domain.clock import from_epoch_us
from stateful_engine.domain.symbols import canonical_symbol
from stateful_engine.domain.vocabulary import Outcome, Scope, Word
from stateful_engine.errors import InvalidInputError
from stateful_engine.services.candle_series import CandleSeries, series_of_rows
from stateful_engine.services.candles import GivenCandles, Market
from stateful_engine.services.outcomes import resolve_outcomes
from stateful_engine.services.positions import duration_ms

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

DURATION_PATTERN = "^[1-9][0-9]?[mhdw]$"
MAX_SERIES = 20
MAX_CANDLES = 20_000
MAX_SIGNALS = 500


def _symbol(value: Any) -> Any:
    found = canonical_symbol(value)
    if found is None or not fields.is_storable(found):
        raise fields.wrong("NOT_ALLOWED", "is no symbol; write it as BTCUSDT")
    return found


def _duration(value: Any) -> Any:
    try:
        duration_ms(value if isinstance(value, str) else "")
    except InvalidInputError:
        raise fields.wrong("NOT_ALLOWED", "is no duration; write it as 90m, 12h, 3d or 2w") from None
    return value


@dataclass(frozen=True, slots=True)
class WordOf:
    """A word of a vocabulary that is written in lower case."""

    words: type[Word]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "enum": [word.value for word in self.words]}

    def read(self, value: Any) -> str:
        """The word, or which words there are."""
        known = [word.value for word in self.words]
        if value not in known:
            raise fields.wrong("NOT_ALLOWED", f"must be one of {', '.join(known)}")
        return str(value)


Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1e15, le=1e15)]
CandleRow = Annotated[list[Number], Field(min_length=5, max_length=6)]
Symbol = Annotated[str, BeforeValidator(_symbol), WithJsonSchema({"type": "string", "pattern": fields.SYMBOL_PATTERN})]
Duration = Annotated[str, BeforeValidator(_duration), WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN})]

AmbiguityPolicyWord = Annotated[str, WordOf(AmbiguityPolicy)]
EntryModeWord = Annotated[str, WordOf(EntryMode)]
GapFillWord = Annotated[str, WordOf(GapFill)]


class CandlesOfMarket(Body):
    """The complete candles of one market."""

    symbol: Symbol = Field(description="What is traded, for example BTCUSDT.")
    timeframe: fields.Timeframe = Field(description="Candle length, for example 15m, 1H, 4H or 1D.")
    rows: list[CandleRow] = Field(
        min_length=1,
        max_length=MAX_CANDLES,
        description="Candles as [open time in ms since the epoch, open, high, low, close], oldest first.",
    )


class ResolveBody(Body):
    """Candles, and the rules by which they close signals."""

    candles: list[CandlesOfMarket] = Field(
        min_length=1, max_length=MAX_SERIES, description="Candles by market; shorter ones tell what came first."
    )
    signal_ids: list[fields.Name] | None = Field(
        default=None,
        max_length=MAX_SIGNALS,
        description="Only these signals; all open ones of the markets if left out.",
    )
    policy: AmbiguityPolicyWord = Field(
        default="pessimistic", description="Which barrier comes first when one candle holds both."
    )
    entry_mode: EntryModeWord = Field(default="at_signal", description="When a signal becomes a position.")
    tp_gap_fill: GapFillWord = Field(
        default="open", description="The price of a take profit when a candle opens beyond it."
    )
    strict_tp: fields.Flag = Field(default=False, description="Whether the price must go beyond the take profit.")
    limit_valid_candles: Annotated[int, fields.WholeNumber(1, MAX_CANDLES)] | None = Field(
        default=None, description="How many candles a limit waits to be filled."
    )
    expiry: Duration | None = Field(default=None, description="How long a signal lives, for example 12h or 3d.")
    dry_run: fields.Flag = Field(default=False, description="Only tell what would be written.")
    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class ResolvedSignal(Model):
    """How one signal ended."""

    signal_id: str
    outcome: Outcome
    exit_reason: str
    exit_price: float | None
    closed_at: Timestamp | None
    pnl_percentage: float | None
    r_multiple: float | None
    ambiguous: bool
    data_gap: bool


class ResolveReply(Envelope):
    """What was closed, and why the rest stayed open."""

    dry_run: bool
    total_resolved: int = Field(ge=0, description="How many signals were closed.")
    resolved: list[ResolvedSignal] = Field(description="The first 500 of them.")
    left_open: dict[str, int] = Field(description="How many signals of these markets stayed open, by reason.")


def resolve(_: Runtime, call: Call[Nothing, ResolveBody]) -> Answer:
    """Close the open signals of the markets whose candles were sent."""
    body = call.body
    closed: list[dict[str, Any]] = []

    def note(signal_id: str, resolution: Resolution) -> None:
        if len(closed) < MAX_SIGNALS:
            closed.append(_shown(signal_id, resolution))

    options = body.model_dump(exclude={"candles", "client_ref"})
    report = resolve_outcomes(_source(body.candles), on_closed=note, **options)
    return {
        "dry_run": report.dry_run,
        "total_resolved": report.resolved,
        "resolved": closed,
        "left_open": dict(report.left_open),
    }


def _source(given: list[CandlesOfMarket]) -> GivenCandles:
    markets: dict[Market, CandleSeries] = {}
    for market in given:
        key = Market(market.symbol, market.timeframe)
        if key in markets:
            raise InvalidInputError(f"the candles of {key.symbol} {key.timeframe} are sent twice; send them once")
        markets[key] = series_of_rows(
            market.rows, name=f"request:{key.symbol}-{key.timeframe}", timeframe=market.timeframe
        )
    return GivenCandles(markets)


def _shown(signal_id: str, resolution: Resolution) -> dict[str, Any]:
    at = resolution.exit_time
    return {
        "signal_id": signal_id,
        "outcome": resolution.outcome.value,
        "exit_reason": str(resolution.exit_reason),
        "exit_price": resolution.exit_price,
        "closed_at": None if at is None else from_epoch_us(at * 1000).isoformat(),
        "pnl_percentage": resolution.pnl_percentage,
        "r_multiple": resolution.r_multiple,
        "ambiguous": resolution.ambiguous,
        "data_gap": resolution.data_gap,
    }


OPERATIONS = (
    Operation(
        name="resolveOutcomes",
        method="POST",
        path="/outcomes/resolve",
        summary="Resolve open signals on candles",
        description="Closes open signals whose stop loss, take profit or expiry was reached on the candles sent.",
        scope=Scope.SIGNALS_WRITE,
        handler=resolve,
        body_model=ResolveBody,
        response_model=ResolveReply,
        in_actions=False,
    ),
)
