"""The columns of a record as they travel: JSON values, times as whole microseconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from stateful_engine.domain import clock
from stateful_engine.domain.episodes import episode_key
from stateful_engine.domain.extraction import ExtractedSignal
from stateful_engine.domain.redaction import redact
from stateful_engine.domain.returns import risk_reward
from stateful_engine.domain.vocabulary import Outcome
from stateful_engine.recording import stamping

CONTEXT_COLUMNS = ("query_id", "endpoint", "experiment", "variant", "user_agent", "ip_address")
ATTRIBUTION_COLUMNS = (
    "user_agent",
    "ip_address",
    "session_id",
    "referer",
    "conversation_ref",
    "user_ref",
    "gpt_id",
    "request_id",
)
USAGE_COLUMNS = ("tokens_used", "prompt_tokens", "completion_tokens", "cost_usd", "ai_reasoning_time_ms")

_MINUTE = 60_000_000


def signal_row(
    signal_id: str, signal: ExtractedSignal, context: Mapping[str, Any], *, created_us: int
) -> dict[str, Any]:
    """One row of `signal_history`, still open.

    `context` may hold `query_id`, `endpoint`, `source` (default "API"), `source_engine`, `experiment`, `variant`,
    `user_agent` and `ip_address`; what the signal itself says of its engine wins over the context.
    """
    row: dict[str, Any] = {
        "signal_id": signal_id,
        "symbol": signal.symbol,
        "symbol_raw": signal.symbol_raw,
        "timeframe": signal.timeframe,
        "action": str(signal.action),
        "confidence": signal.confidence,
        "entry_price": signal.entry_price,
        "take_profit": signal.take_profit,
        "stop_loss": signal.stop_loss,
        "initial_stop_loss": signal.stop_loss,
        "risk_reward_ratio": _risk_reward(signal),
        "ai_reasoning": signal.ai_reasoning,
        "smc_analysis": signal.smc_analysis,
        "technical_indicators": signal.technical_indicators,
        "market_conditions": signal.market_conditions,
        "source": context.get("source") or "API",
        "source_engine": signal.source_engine or context.get("source_engine"),
        "ai_model": signal.ai_model,
        "prompt_version": signal.prompt_version,
        "client_ref": signal.client_ref,
        "extra": signal.extra,
        "is_executed": False,
        "outcome": Outcome.PENDING.value,
        "episode_key": episode(signal.symbol, signal.timeframe, created_us),
        "created_at": created_us,
        "updated_at": created_us,
    }
    row.update((name, context.get(name)) for name in CONTEXT_COLUMNS)
    return _stamped(row, context.get("stamp") or stamping.current())


def _stamped(row: dict[str, Any], stamp: stamping.Stamp | None) -> dict[str, Any]:
    """A signal under an experiment names the variant, and the unit that it was served to."""
    if stamp is not None and row["experiment"] is None:
        row.update(stamping.columns(stamp))
        row["extra"] = {**row["extra"], "experiment_unit": stamp.unit}
    return row


def episode(symbol: str | None, timeframe: str | None, created_us: int) -> str | None:
    """What signals of one candle have in common; without a symbol there is no such thing."""
    return None if symbol is None else _episode_in(symbol, timeframe or "", created_us // _MINUTE)


@lru_cache(maxsize=1024)
def _episode_in(symbol: str, timeframe: str, minute: int) -> str:
    """No candle is shorter than a minute, so that most of the work is done once."""
    return episode_key(symbol, timeframe, clock.from_epoch_us(minute * _MINUTE))


def _risk_reward(signal: ExtractedSignal) -> float | None:
    if signal.risk_reward_ratio is not None:
        return signal.risk_reward_ratio
    return risk_reward(signal.action, signal.entry_price, signal.stop_loss, signal.take_profit)


def query_row(
    query_id: str,
    query: Mapping[str, Any],
    response: Mapping[str, Any],
    context: Mapping[str, Any],
    *,
    created_us: int,
    redacted: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """One row of `gpt_query_log`.

    `query` holds `endpoint, method, params, user_query`, `response` holds `status_code, data, processing_time_ms,
    ai_model, tokens_used, error_message`. What nobody said (model, tokens, cost) stays None.
    """
    status = response.get("status_code", response.get("status"))
    row: dict[str, Any] = {
        "query_id": query_id,
        "endpoint": query.get("endpoint"),
        "method": query.get("method"),
        "request_params": redact(query.get("params", query.get("request_params")), redacted),
        "user_query": query.get("user_query"),
        "response_status": status,
        "response_data": response.get("data", response.get("response_data")),
        "processing_time_ms": response.get("processing_time_ms"),
        "ai_model_used": response.get("ai_model", response.get("ai_model_used")),
        "confidence_score": response.get("confidence_score"),
        "is_successful": response.get("is_successful", status is None or is_successful(status)),
        "error_message": response.get("error_message"),
        "feedback_rating": response.get("feedback_rating"),
        "created_at": created_us,
    }
    row.update((name, response.get(name)) for name in USAGE_COLUMNS)
    row.update((name, context.get(name, query.get(name))) for name in ATTRIBUTION_COLUMNS)
    row.update(stamping.columns(context.get("stamp") or stamping.current()))
    return row


def is_successful(status: int) -> bool:
    """Whether an HTTP status tells of an answer as it should be, which a redirection is too."""
    return 200 <= status < 400


def interaction_row(
    interaction_id: str,
    signal_id: str | None,
    kind: str,
    source: str,
    *,
    created_us: int,
    data: Mapping[str, Any] | None = None,
    user_id: str | None = None,
    user_agent: str | None = None,
    ip_address: str | None = None,
) -> dict[str, Any]:
    """One row of `user_interaction`; `kind` and `source` are words of the vocabularies."""
    return {
        "interaction_id": interaction_id,
        "signal_id": signal_id,
        "interaction_type": kind,
        "interaction_source": source,
        "interaction_data": dict(data) if data else None,
        "user_id": user_id,
        "user_agent": user_agent,
        "ip_address": ip_address,
        "created_at": created_us,
    }
