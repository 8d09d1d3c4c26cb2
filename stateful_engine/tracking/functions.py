"""The calls a host makes by itself: plain functions that go to the engine of the current app.

They tell the truth: each raises a `StatefulEngineError` when the record was not accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import has_request_context, request

from stateful_engine.domain.vocabulary import InteractionSource, InteractionType
from stateful_engine.globals import current_runtime, find_runtime
from stateful_engine.request_info import RequestInfo
from stateful_engine.services.integrator import EnhancedSignalIntegrator
from stateful_engine.tracking.options import DEFAULT_SOURCE

if TYPE_CHECKING:
    from flask import Request
    from sqlalchemy.orm import Session

    from stateful_engine.extension import Runtime
    from stateful_engine.services.state_manager import StateManager


def track_signal(
    signal_data: Mapping[str, Any],
    source_engine: str | None = None,
    *,
    source: str = DEFAULT_SOURCE,
    session: Session | None = None,
    durable: bool = False,
) -> str:
    """Record a signal that no tracked view answers with; returns its `signal_id`.

    >>> signal_id = track_signal({"symbol": "BTCUSDT", "action": "BUY", "confidence": 85.5}, source_engine="sharp")

    Usual spellings fold (`direction`, `tp`, `sl`, `pair`, …) and unknown fields are kept; a value that cannot be meant
    raises `InvalidInputError` naming every fault. `durable=True` returns after the commit; `session` joins the host's
    transaction, for a session of the same database.
    """
    runtime = current_runtime()
    context = {**_request_context(runtime), "source_engine": source_engine}
    if source != DEFAULT_SOURCE:
        context["source"] = source
    return runtime.state_manager.save_signal_history(signal_data, context, durable=durable, session=session)


def track_signal_execution(
    signal_id: str, execution_price: float, source: str = "MANUAL", *, user_id: str | None = None
) -> bool:
    """Record that a signal was acted on at `execution_price`; False when no signal has this id."""
    execution = {"execution_price": execution_price, "source": source, "user_id": user_id}
    return current_runtime().state_manager.update_signal_execution(signal_id, execution)


def track_telegram_click(
    signal_id: str,
    chat_id: str | int,
    username: str | None = None,
    *,
    user_id: str | int | None = None,
    interaction_type: str = InteractionType.CLICK.value,
    additional_data: Mapping[str, Any] | None = None,
) -> str:
    """Record that a Telegram user pressed a signal's button; returns the `interaction_id`.

    `user_id` is the person, where known; else the chat stands for it (they differ in groups).
    """
    data = {**(additional_data or {}), "chat_id": str(chat_id), "username": username}
    person = chat_id if user_id is None else user_id
    return log_user_interaction(signal_id, interaction_type, InteractionSource.TELEGRAM.value, str(person), data)


def log_user_interaction(
    signal_id: str | None,
    interaction_type: str,
    interaction_source: str = DEFAULT_SOURCE,
    user_id: str | None = None,
    additional_data: Mapping[str, Any] | None = None,
) -> str:
    """Record what somebody did with a signal (CLICK, VIEW, SHARE, FEEDBACK, …); returns the `interaction_id`."""
    runtime = current_runtime()
    context = _request_context(runtime)
    interaction = {
        "type": interaction_type,
        "source": interaction_source,
        "user_id": user_id,
        "data": dict(additional_data or {}),
        "user_agent": context.get("user_agent"),
        "ip_address": context.get("ip_address"),
    }
    return runtime.state_manager.track_user_interaction(signal_id, interaction)


def update_signal_outcome(signal_id: str, outcome: str, pnl_percentage: float | None = None) -> bool:
    """Record how a signal ended (WIN, LOSS, BREAKEVEN, UNFILLED); False when no signal has this id."""
    return current_runtime().state_manager.update_signal_outcome(signal_id, outcome, pnl_percentage)


def get_state_manager() -> StateManager:
    """The `StateManager` of the current app."""
    return current_runtime().state_manager


def get_enhanced_integrator() -> EnhancedSignalIntegrator:
    """The `EnhancedSignalIntegrator` of the current app; outside an app, one that finds the app when it is used."""
    runtime = find_runtime()
    return EnhancedSignalIntegrator() if runtime is None else runtime.integrator


def get_signal_analytics_summary() -> dict[str, Any]:
    """Signals by day, week and month, queries, interactions, and the six figures of `summary`."""
    return current_runtime().analytics.summary()


def cache_analytics_data(analytics_type: str, period_days: int, data: Any, expire_seconds: int | None = None) -> None:
    """Keep a computed answer as `analytics:<type>:<days>d` until it expires or a write changes what it says.

    `expire_seconds` defaults to `STATEFUL_CACHE_SECONDS`.
    """
    runtime = current_runtime()
    seconds = runtime.settings.cache_seconds if expire_seconds is None else expire_seconds
    runtime.cache.set(_analytics_key(analytics_type, period_days), data, seconds)


def get_cached_analytics_data(analytics_type: str, period_days: int) -> Any | None:
    """What `cache_analytics_data` kept; None when it has expired, was overtaken by a write, or Redis is away."""
    return current_runtime().cache.get(_analytics_key(analytics_type, period_days))


def _analytics_key(analytics_type: str, period_days: int) -> str:
    return f"analytics:{analytics_type}:{int(period_days)}d"


def _request_context(runtime: Runtime) -> dict[str, Any]:
    """Who is being served while the host makes the call, where a request is being served."""
    if not has_request_context():
        return {}
    with runtime.guard("read_the_request"):
        serving: Request = request._get_current_object()  # type: ignore[attr-defined]
        info = RequestInfo.from_request(serving, runtime.settings, may_read=False)
        return {
            "endpoint": info.endpoint,
            "source": info.source,
            "user_agent": info.user_agent,
            "ip_address": info.remote_addr,
        }
    return {}
