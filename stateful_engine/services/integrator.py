"""The facade for hosts that think in engines, bots and queries rather than in tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from stateful_engine.domain.vocabulary import InteractionSource
from stateful_engine.errors import NotInitializedError
from stateful_engine.globals import current_runtime

if TYPE_CHECKING:
    from flask import Flask

    from stateful_engine.services.analytics import Analytics
    from stateful_engine.services.state_manager import StateManager

Instrument = Callable[..., list[str]]


class EnhancedSignalIntegrator:
    """One object for what an existing signal app needs: wrap its views, record its signals, ask how they did.

    Made without arguments it works for whichever app is current, so that it may be created at import time.
    """

    def __init__(
        self,
        state_manager: StateManager | None = None,
        analytics: Analytics | None = None,
        *,
        instrument: Instrument | None = None,
    ) -> None:
        self._state_manager = state_manager
        self._analytics = analytics
        self._instrument = instrument

    @property
    def _manager(self) -> StateManager:
        return self._state_manager or current_runtime().state_manager

    def track_signal_from_engine(
        self, signal_data: Mapping[str, Any], source_engine: str, request_context: Mapping[str, Any] | None = None
    ) -> str:
        """Record a signal that an engine produced outside a view; returns its `signal_id`."""
        context = {**(request_context or {}), "source_engine": source_engine}
        return self._manager.save_signal_history(signal_data, context)

    def track_telegram_interaction(
        self, signal_id: str, interaction_type: str, telegram_data: Mapping[str, Any]
    ) -> str:
        """Record what a Telegram user did with a signal; returns the `interaction_id`.

        `telegram_data` may hold `user_id`, `chat_id`, `username` and anything else worth keeping.
        """
        user = telegram_data.get("user_id") or telegram_data.get("chat_id")
        interaction = {
            "type": interaction_type,
            "source": InteractionSource.TELEGRAM,
            "data": dict(telegram_data),
            "user_id": user,
        }
        return self._manager.track_user_interaction(signal_id, interaction)

    def track_chatgpt_query(
        self,
        endpoint: str,
        query_data: Mapping[str, Any],
        response_data: Mapping[str, Any],
        processing_time_ms: float | None = None,
    ) -> str:
        """Record a query that ChatGPT made and the answer it got; returns the `query_id`."""
        answer = dict(response_data)
        if processing_time_ms is not None:
            answer["processing_time_ms"] = processing_time_ms
        return self._manager.log_gpt_query({**query_data, "endpoint": endpoint}, answer)

    def get_comprehensive_analytics(self) -> dict[str, Any]:
        """Signals by day, week and month, queries, interactions, and the six figures of `summary`."""
        analytics = self._analytics or current_runtime().analytics
        return analytics.summary()

    def update_signal_performance(self, signal_id: str, outcome: str, pnl_percentage: float | None = None) -> bool:
        """Record how a signal ended; True when it did, False when no signal has this id."""
        return self._manager.update_signal_outcome(signal_id, outcome, pnl_percentage)

    def get_signal_by_id(self, signal_id: str) -> dict[str, Any] | None:
        """The signal as a dict, or None when no signal has this id."""
        return self._manager.get_signal(signal_id)

    def cleanup_old_signals(self, days_to_keep: int = 90) -> dict[str, Any]:
        """Delete records older than `days_to_keep` days; returns how many went, by table."""
        return self._manager.cleanup_old_data(days_to_keep)

    def instrument(
        self, app: Flask, views: Iterable[str] | Mapping[str, Mapping[str, Any]], **options: Any
    ) -> list[str]:
        """Track views that must not be edited, by wrapping `app.view_functions` in place.

        `views` names endpoints (`"signals.latest"`), or maps them to options of their own; `options` are those of
        `track_signal_generation` for all of them. Returns the endpoints that are tracked now.
        """
        instrument = self._instrument or current_instrument(app)
        return instrument(app, views, **options)


def current_instrument(app: Flask) -> Instrument:
    """The function that wraps the views of `app`, which must have the engine."""
    runtime = app.extensions.get("stateful_engine")
    if runtime is None:
        raise NotInitializedError("call `engine.init_app(app)` before `instrument(app, …)`")
    instrument: Instrument = runtime.integrator._instrument
    return instrument
