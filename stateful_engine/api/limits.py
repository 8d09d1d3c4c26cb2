"""How often one caller may call: `STATEFUL_RATE_LIMIT` per API key, else per GPT and its user, else per address.

Calls are counted in Redis where there is one, so that all processes count together, else in this process. A Redis
that is away must not stop the API: for some seconds each process then counts for itself. The headers of ChatGPT can be
made up, so callers who are told apart by them share a larger limit per address.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter

from stateful_engine.api.limit_store import InProcess
from stateful_engine.errors import RateLimitError

if TYPE_CHECKING:
    from flask import Request

    from stateful_engine.access import Principal
    from stateful_engine.config import Settings

SHARED_FACTOR = 10
"""How many times the limit all callers of one address may use together, who are told apart by headers."""

REST_SECONDS = 5.0
ANSWER_SECONDS = 0.2
KEY_PREFIX = "stateful_engine:limit"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left to a caller after this call."""

    limit: int
    remaining: int
    reset_seconds: int

    @property
    def headers(self) -> dict[str, str]:
        """The allowance as the headers `RateLimit-*`."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
        }


class Limiter:
    """Counts the calls of one app; made without connections."""

    def __init__(self, settings: Settings) -> None:
        self._item: RateLimitItem = parse(settings.rate_limit)
        self._redis_url = settings.redis_url
        self._here = MovingWindowRateLimiter(InProcess())
        self._shared: MovingWindowRateLimiter | None = None
        self._rests_until = 0.0

    def count(self, request: Request, principal: Principal) -> Allowance | None:
        """Count one call; None where no limit is set. Raises `RateLimitError` when it is one too many."""
        if self._item.amount == 0:
            return None
        name = caller(request, principal)
        if name.startswith("gpt:"):
            self._hit(f"address:{request.remote_addr}", _times(self._item, SHARED_FACTOR))
        return self._hit(name, self._item)

    def _hit(self, name: str, item: RateLimitItem) -> Allowance:
        limiter = self._limiter()
        try:
            is_within = limiter.hit(item, KEY_PREFIX, name)
            stats = limiter.get_window_stats(item, KEY_PREFIX, name)
        except StorageError:
            self._rests_until = time.monotonic() + REST_SECONDS
            return self._hit(name, item)
        seconds = max(1, math.ceil(stats.reset_time - time.time()))
        allowance = Allowance(item.amount, max(0, stats.remaining), seconds)
        if not is_within:
            raise TooManyCallsError(item, allowance)
        return allowance

    def _limiter(self) -> MovingWindowRateLimiter:
        """The counter that all processes share, or that of this process where there is none that answers."""
        if self._redis_url is None or time.monotonic() < self._rests_until:
            return self._here
        if self._shared is None:
            store = storage_from_string(
                # The name that `limits` has for a socket is not the one that redis-py has.
                re.sub("^unix://", "redis+unix://", self._redis_url),
                wrap_exceptions=True,
                socket_timeout=ANSWER_SECONDS,
                socket_connect_timeout=ANSWER_SECONDS,
            )
            self._shared = MovingWindowRateLimiter(store)
        return self._shared


class TooManyCallsError(RateLimitError):
    """The caller has used up its limit; wait for `retry_after` seconds."""

    def __init__(self, item: RateLimitItem, allowance: Allowance) -> None:
        seconds = allowance.reset_seconds
        super().__init__(f"more than {item} calls; send it again in {seconds} seconds", retry_after=seconds)
        self.headers = allowance.headers


def caller(request: Request, principal: Principal) -> str:
    """The name under which the calls of a caller are counted."""
    if principal.known:
        return f"key:{principal.name}"
    gpt, user = request.headers.get("openai-gpt-id"), request.headers.get("openai-ephemeral-user-id")
    if gpt or user:
        return f"gpt:{(gpt or '')[:64]}:{(user or '')[:128]}"
    return f"address:{request.remote_addr}"


def _times(item: RateLimitItem, factor: int) -> RateLimitItem:
    return type(item)(item.amount * factor, item.multiples)
