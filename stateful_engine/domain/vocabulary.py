"""The closed vocabularies of the product: what a field may say, spelled once."""

from __future__ import annotations

from enum import Enum


class Word(str, Enum):
    """A member of a closed vocabulary; it is its own text, so it is stored and shown as it is spelled."""

    def __str__(self) -> str:
        return str(self.value)


class Action(Word):
    """What a signal advises."""

    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"


class Outcome(Word):
    """How a signal ended; UNFILLED never became a trade and counts in no rate."""

    PENDING = "PENDING"
    WIN = "WIN"
    LOSS = "LOSS"
    BREAKEVEN = "BREAKEVEN"
    UNFILLED = "UNFILLED"


CLOSED_OUTCOMES = frozenset({Outcome.WIN, Outcome.LOSS, Outcome.BREAKEVEN})


class WebhookEvent(Word):
    """What webhooks are told of."""

    SIGNAL_CREATED = "signal.created"
    SIGNAL_EXECUTED = "signal.executed"
    SIGNAL_CLOSED = "signal.closed"
    INTERACTION_CREATED = "interaction.created"


class ExitReason(Word):
    """Why a position was left."""

    TP = "TP"
    SL = "SL"
    EXPIRED = "EXPIRED"
    EXPIRED_UNFILLED = "EXPIRED_UNFILLED"
    MANUAL = "MANUAL"


class Arm(Word):
    """The two variants of an experiment; A is control."""

    A = "A"
    B = "B"


class InteractionType(Word):
    """What somebody did with a signal."""

    CLICK = "CLICK"
    EXECUTE = "EXECUTE"
    FEEDBACK = "FEEDBACK"
    SHARE = "SHARE"
    SIGNAL_GENERATED = "SIGNAL_GENERATED"
    VIEW = "VIEW"
    DISMISS = "DISMISS"


class InteractionSource(Word):
    """Through which door somebody acted."""

    TELEGRAM = "TELEGRAM"
    CHAT_GPT = "CHAT_GPT"
    API = "API"
    WEB = "WEB"
    MANUAL = "MANUAL"
    SCHEDULER = "SCHEDULER"
    MCP = "MCP"
    UNKNOWN = "UNKNOWN"


class Weekday(Word):
    """A day of the week, in UTC."""

    MONDAY = "Monday"
    TUESDAY = "Tuesday"
    WEDNESDAY = "Wednesday"
    THURSDAY = "Thursday"
    FRIDAY = "Friday"
    SATURDAY = "Saturday"
    SUNDAY = "Sunday"


class Breakdown(Word):
    """What the signals of a report can be told apart by; a pair is a symbol with a timeframe."""

    SYMBOL = "symbol"
    TIMEFRAME = "timeframe"
    SYMBOL_TIMEFRAME = "symbol_timeframe"
    ACTION = "action"
    ENGINE = "engine"
    MODEL = "model"
    PROMPT_VERSION = "prompt_version"
    MARKET_CONDITIONS = "market_conditions"
    CONFIDENCE = "confidence"
    EXECUTED = "executed"
    HOUR = "hour"
    WEEKDAY = "weekday"


class MessageRole(Word):
    """Who speaks in a conversation."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"
    DEVELOPER = "developer"


class Scope(Word):
    """What a caller of the API may do; `admin` includes all others."""

    SIGNALS_READ = "signals:read"
    SIGNALS_WRITE = "signals:write"
    QUERIES_READ = "queries:read"
    QUERIES_WRITE = "queries:write"
    INTERACTIONS_READ = "interactions:read"
    INTERACTIONS_WRITE = "interactions:write"
    ANALYTICS_READ = "analytics:read"
    CONVERSATIONS_READ = "conversations:read"
    CONVERSATIONS_WRITE = "conversations:write"
    EXPERIMENTS_READ = "experiments:read"
    EXPERIMENTS_WRITE = "experiments:write"
    ADMIN = "admin"
