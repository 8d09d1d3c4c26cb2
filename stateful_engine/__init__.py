"""Memory for Flask apps that serve AI trading signals."""

from __future__ import annotations

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
