"""Memory for Flask apps that serve AI trading signals.

A name is loaded when it is used first: importing the package costs a host next to nothing, and a host that only tracks
its views never loads what bots, experiments and exports need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stateful_engine.errors import (
        AuthenticationError,
        ConfigurationError,
        ConflictError,
        InvalidInputError,
        MalformedRequestError,
        MissingExtraError,
        NotFoundError,
        NotInitializedError,
        PayloadTooLargeError,
        PermissionDeniedError,
        QueryTimeoutError,
        RateLimitError,
        SchemaError,
        SignalNotFoundError,
        SpoolFullError,
        StatefulEngineError,
        StorageUnavailableError,
    )
    from stateful_engine.extension import StatefulEngine
    from stateful_engine.logging import setup_file_logging
    from stateful_engine.services.actions import AnalyticsLogger
    from stateful_engine.services.conversations import ChatGPTLogger
    from stateful_engine.services.experiments import Experiments
    from stateful_engine.services.export_recommendations import export_recommendation_training_data
    from stateful_engine.services.integrator import EnhancedSignalIntegrator
    from stateful_engine.services.journal import JournalRepo
    from stateful_engine.services.performance import PerformanceDashboard
    from stateful_engine.services.recommendations import RecommendationLogger
    from stateful_engine.services.scanner import ScannerLogger
    from stateful_engine.services.state_manager import StateManager
    from stateful_engine.storage.gpt_queries import GPTQueryLog
    from stateful_engine.storage.interactions import UserInteraction
    from stateful_engine.storage.signals import SignalHistory
    from stateful_engine.tracking.decorators import track_gpt_query, track_signal_generation
    from stateful_engine.tracking.functions import (
        cache_analytics_data,
        get_cached_analytics_data,
        get_enhanced_integrator,
        get_signal_analytics_summary,
        get_state_manager,
        log_user_interaction,
        track_signal,
        track_signal_execution,
        track_telegram_click,
        update_signal_outcome,
    )

_HOMES = {
    "stateful_engine.errors": (
        "AuthenticationError",
        "ConfigurationError",
        "ConflictError",
        "InvalidInputError",
        "MalformedRequestError",
        "MissingExtraError",
        "NotFoundError",
        "NotInitializedError",
        "PayloadTooLargeError",
        "PermissionDeniedError",
        "QueryTimeoutError",
        "RateLimitError",
        "SchemaError",
        "SignalNotFoundError",
        "SpoolFullError",
        "StatefulEngineError",
        "StorageUnavailableError",
    ),
    "stateful_engine.extension": ("StatefulEngine",),
    "stateful_engine.logging": ("setup_file_logging",),
    "stateful_engine.services.actions": ("AnalyticsLogger",),
    "stateful_engine.services.conversations": ("ChatGPTLogger",),
    "stateful_engine.services.experiments": ("Experiments",),
    "stateful_engine.services.export_recommendations": ("export_recommendation_training_data",),
    "stateful_engine.services.integrator": ("EnhancedSignalIntegrator",),
    "stateful_engine.services.journal": ("JournalRepo",),
    "stateful_engine.services.performance": ("PerformanceDashboard",),
    "stateful_engine.services.recommendations": ("RecommendationLogger",),
    "stateful_engine.services.scanner": ("ScannerLogger",),
    "stateful_engine.services.state_manager": ("StateManager",),
    "stateful_engine.storage.gpt_queries": ("GPTQueryLog",),
    "stateful_engine.storage.interactions": ("UserInteraction",),
    "stateful_engine.storage.signals": ("SignalHistory",),
    "stateful_engine.tracking.decorators": (
        "track_gpt_query",
        "track_signal_generation",
    ),
    "stateful_engine.tracking.functions": (
        "cache_analytics_data",
        "get_cached_analytics_data",
        "get_enhanced_integrator",
        "get_signal_analytics_summary",
        "get_state_manager",
        "log_user_interaction",
        "track_signal",
        "track_signal_execution",
        "track_telegram_click",
        "update_signal_outcome",
    ),
}
"""Where each public name is at home."""

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ScannerLogger",
    "RecommendationLogger",
    "PerformanceDashboard",
    "JournalRepo",
    "ChatGPTLogger",
    "AnalyticsLogger",
    "AuthenticationError",
    "ConfigurationError",
    "ConflictError",
    "EnhancedSignalIntegrator",
    "Experiments",
    "GPTQueryLog",
    "InvalidInputError",
    "MalformedRequestError",
    "MissingExtraError",
    "NotFoundError",
    "NotInitializedError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "RateLimitError",
    "SchemaError",
    "SignalHistory",
    "SignalNotFoundError",
    "QueryTimeoutError",
    "SpoolFullError",
    "StateManager",
    "StatefulEngine",
    "StatefulEngineError",
    "StorageUnavailableError",
    "UserInteraction",
    "cache_analytics_data",
    "export_recommendation_training_data",
    "get_cached_analytics_data",
    "setup_file_logging",
    "get_enhanced_integrator",
    "get_signal_analytics_summary",
    "get_state_manager",
    "log_user_interaction",
    "track_gpt_query",
    "track_signal",
    "track_signal_execution",
    "track_signal_generation",
    "track_telegram_click",
    "update_signal_outcome",
]


if not TYPE_CHECKING:
    # A type checker that saw this would take any misspelled name for one of ours.
    def __getattr__(name: str) -> Any:
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
