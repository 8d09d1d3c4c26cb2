"""Errors that direct calls raise. Each carries a stable code, an HTTP status and a message that ends in the remedy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an input: where (JSON pointer), what, and a stable code."""

    pointer: str
    detail: str
    code: str = "INVALID"


class StatefulEngineError(Exception):
    """Base of everything that stateful_engine raises on purpose; catch it to catch all of them."""

    code = "STATEFUL_ENGINE_ERROR"
    status = 500

    def __init__(
        self, message: str, *, code: str | None = None, errors: tuple[Fault, ...] = (), retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.errors = errors
        self.retry_after = retry_after


class ConfigurationError(StatefulEngineError):
    """The app is set up in a way that cannot work; change the setting or the call that the message names."""

    code = "CONFIGURATION_ERROR"


class NotInitializedError(ConfigurationError):
    """There is no engine for this app; call `engine.init_app(app)` and work inside its app context."""

    code = "NOT_INITIALIZED"


class MissingExtraError(ConfigurationError):
    """An optional package is not installed; install the extra that the message names."""

    code = "MISSING_EXTRA"


class SchemaError(StatefulEngineError):
    """Our tables are missing or of another version; run `flask stateful db upgrade`."""

    code = "SCHEMA_NOT_READY"
    status = 503


class InvalidInputError(StatefulEngineError):
    """A value is present but cannot be meant; correct every fault in `errors` and call again."""

    code = "VALIDATION_ERROR"
    status = 422


class MalformedRequestError(StatefulEngineError):
    """The input is missing or is not of the kind that is asked for; send what the message describes."""

    code = "MALFORMED_REQUEST"
    status = 400


class NotFoundError(StatefulEngineError):
    """No record has this id; look the id up before calling again."""

    code = "NOT_FOUND"
    status = 404


class SignalNotFoundError(NotFoundError):
    """No signal has this id, also after waiting for signals that are still on their way."""

    code = "SIGNAL_NOT_FOUND"


class ConflictError(StatefulEngineError):
    """The record already says something else; send `correct: true` if the new value is meant to replace it."""

    code = "CONFLICT"
    status = 409


class AuthenticationError(StatefulEngineError):
    """Nobody is known to be calling; send an API key."""

    code = "UNAUTHORIZED"
    status = 401


class PermissionDeniedError(StatefulEngineError):
    """The caller is known but may not do this; use a key with the scope that the message names."""

    code = "FORBIDDEN"
    status = 403


class PayloadTooLargeError(StatefulEngineError):
    """The body is larger than `STATEFUL_MAX_BODY_BYTES`; send less at a time."""

    code = "PAYLOAD_TOO_LARGE"
    status = 413


class RateLimitError(StatefulEngineError):
    """Too many calls; wait for `retry_after` seconds."""

    code = "RATE_LIMITED"
    status = 429


class StorageUnavailableError(StatefulEngineError):
    """The database did not answer; nothing was half-written, so the call can simply be repeated later."""

    code = "STORAGE_UNAVAILABLE"
    status = 503


class QueryTimeoutError(StorageUnavailableError):
    """The database needed longer than `STATEFUL_READ_TIMEOUT`; ask for less, or raise the limit."""

    code = "QUERY_TIMEOUT"


class SpoolFullError(StorageUnavailableError):
    """The local buffer has reached `STATEFUL_SPOOL_MAX_BYTES`; bring the database back or raise the limit."""

    code = "SPOOL_FULL"
