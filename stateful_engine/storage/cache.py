"""The cache of reports: in Redis where there is one, else in this process.

A Redis that is away is a miss: it is asked with short timeouts, and after a failure not at all for a while, so that it
costs nothing. What should have been forgotten meanwhile is forgotten as soon as it is back.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from stateful_engine.domain.redaction import clean_json
from stateful_engine.logging import logger
from stateful_engine.storage import forks

if TYPE_CHECKING:
    from redis import Redis

T = TypeVar("T")

PREFIX = "stateful_engine:"
MAX_ENTRIES = 1024
ANSWER_SECONDS = 0.2
REST_SECONDS = 5.0

Generation = tuple[str, int]
"""A group of keys, and how often it had been forgotten."""


class Cache:
    """Keeps JSON values under text keys for some seconds; constructing it opens nothing."""

    def __init__(self, redis_url: str | None = None, *, prefix: str = PREFIX) -> None:
        self._store: _InProcess | _InRedis = _InProcess() if redis_url is None else _InRedis(redis_url, prefix)

    def get(self, key: str) -> Any | None:
        """The value under `key`, or None when it was never kept, has expired or cannot be reached."""
        return _loaded(self._store.get(key))

    def set(self, key: str, value: Any, seconds: float) -> None:
        """Keep `value` (plain JSON) under `key`; nothing is kept for 0 seconds."""
        if seconds > 0:
            self._store.set(key, _dumped(value), seconds)

    def claim(self, key: str, value: Any, seconds: float) -> Any:
        """Keep `value` unless something is kept under `key` already; returns what is kept, of all callers the same.

        Where the store cannot be reached, `value` itself.
        """
        kept = _loaded(self._store.claim(key, _dumped(value), seconds))
        return value if kept is None else kept

    def delete(self, *keys: str) -> None:
        """Forget these keys."""
        if keys:
            self._store.delete(*keys)

    def invalidate(self, kind: str) -> None:
        """Forget every report of a kind: all keys `analytics:<kind>:*`."""
        self._store.forget(_group(kind))

    def remember(self, key: str, seconds: float, make: Callable[[], T]) -> T:
        """The value under `key`, or the one that `make` returns, which is kept unless it was overtaken by a write.

        A report that is being computed while its kind is invalidated is returned but not kept.
        """
        kept: T | None = self.get(key)
        if kept is not None:
            return kept
        group = _group_of(key) or key
        before = self._store.generation(group)
        made = make()
        if before is not None and seconds > 0:
            self._store.set(key, _dumped(made), seconds, only_in=(group, before))
        return made

    def reachable(self) -> bool:
        """Whether the store answers now; one in this process always does."""
        return self._store.reachable()

    def status(self) -> str:
        """`in_process`, `redis`, or `redis_away`."""
        return self._store.status()

    def close(self) -> None:
        """Let go of connections; the next use opens new ones."""
        self._store.close()


def _group(kind: str) -> str:
    return f"analytics:{kind}:"


def _group_of(key: str) -> str | None:
    """What `invalidate` forgets a key with: `analytics:signals:` of `analytics:signals:30d`; None for other keys."""
    parts = key.split(":", 2)
    return _group(parts[1]) if parts[0] == "analytics" and len(parts) == 3 else None


class _InProcess:
    """At most `MAX_ENTRIES` values; the ones used longest ago go first. Values are bytes, so that none is shared."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._generations: dict[str, int] = {}
        forks.remember(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if entry[0] <= time.monotonic():
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            return entry[1]

    def set(self, key: str, value: bytes, seconds: float, *, only_in: Generation | None = None) -> None:
        with self._lock:
            if only_in is not None and self._generations.get(only_in[0], 0) != only_in[1]:
                return
            self._entries[key] = (time.monotonic() + seconds, value)
            self._entries.move_to_end(key)
            self._shrink()

    def claim(self, key: str, value: bytes, seconds: float) -> bytes:
        with self._lock:
            now = time.monotonic()
            entry = self._entries.get(key)
            if entry is not None and entry[0] > now:
                return entry[1]
            self._entries[key] = (now + seconds, value)
            self._shrink()
            return value

    def _shrink(self) -> None:
        while len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)

    def delete(self, *keys: str) -> None:
        with self._lock:
            for key in keys:
                self._entries.pop(key, None)

    def forget(self, group: str) -> None:
        with self._lock:
            self._generations[group] = self._generations.get(group, 0) + 1
            for key in [key for key in self._entries if key.startswith(group)]:
                del self._entries[key]

    def generation(self, group: str) -> int:
        with self._lock:
            return self._generations.get(group, 0)

    def reachable(self) -> bool:
        return True

    def status(self) -> str:
        return "in_process"

    def close(self) -> None:
        return None


class _InRedis:
    """A set per group names its keys, so that forgetting a group never scans the host's Redis."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._prefix = prefix
        self._redis: Redis | None = None
        self._rests_until = 0.0
        self._is_away = False
        self._owed: set[str] = set()

    def get(self, key: str) -> bytes | None:
        return self._asked(lambda redis: _bytes(redis.get(self._prefix + key)))

    def set(self, key: str, value: bytes, seconds: float, *, only_in: Generation | None = None) -> None:
        def store(redis: Redis) -> None:
            group = _group_of(key)
            with redis.pipeline() as pipe:
                if only_in is not None and not self._is_still(pipe, only_in):
                    return
                pipe.set(self._prefix + key, value, px=max(1, int(seconds * 1000)))
                if group is not None:
                    pipe.sadd(self._index(group), self._prefix + key)
                    pipe.expire(self._index(group), int(seconds) + 86_400)
                with suppress(WatchError):
                    pipe.execute()

        from redis import WatchError

        self._asked(store)

    def _is_still(self, pipe: Any, generation: Generation) -> bool:
        """Whether the group was not forgotten since; the pipeline then fails if it is forgotten before it is run."""
        counter = self._counter(generation[0])
        pipe.watch(counter)
        is_same = int(pipe.get(counter) or 0) == generation[1]
        pipe.multi()
        return is_same

    def claim(self, key: str, value: bytes, seconds: float) -> bytes | None:
        def store(redis: Redis) -> bytes | None:
            name = self._prefix + key
            if redis.set(name, value, nx=True, px=max(1, int(seconds * 1000))):
                return value
            return _bytes(redis.get(name)) or value

        return self._asked(store)

    def delete(self, *keys: str) -> None:
        self._asked(lambda redis: redis.delete(*(self._prefix + key for key in keys)))

    def forget(self, group: str) -> None:
        self._owed.add(group)
        self._asked(lambda redis: redis.ping())

    def generation(self, group: str) -> int | None:
        """How often the group was forgotten, by any process; None when Redis is away."""
        return self._asked(lambda redis: int(redis.get(self._counter(group)) or 0))

    def reachable(self) -> bool:
        self._rests_until = 0.0
        return bool(self._asked(lambda redis: redis.ping()))

    def status(self) -> str:
        return "redis" if self.reachable() else "redis_away"

    def close(self) -> None:
        if self._redis is not None:
            self._redis.close()
            self._redis = None

    def _asked(self, ask: Callable[[Redis], T]) -> T | None:
        """What Redis answers, after what it owes is done; None while it is away."""
        from redis.exceptions import RedisError

        if time.monotonic() < self._rests_until:
            return None
        try:
            redis = self._connected()
            self._settle(redis)
            answer = ask(redis)
        except (RedisError, OSError) as error:
            self._give_up(error)
            return None
        if self._is_away:
            self._is_away = False
            logger.info("the cache answers again")
        return answer

    def _connected(self) -> Redis:
        if self._redis is None:
            from redis import Redis

            self._redis = Redis.from_url(
                self._url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS, retry=None
            )
        return self._redis

    def _settle(self, redis: Redis) -> None:
        """Forget the groups that are due, those included that fell due while Redis was away."""
        for group in list(self._owed):
            self._owed.discard(group)
            try:
                self._forget(redis, group)
            except BaseException:
                self._owed.add(group)
                raise

    def _forget(self, redis: Redis, group: str) -> None:
        keys = list(redis.smembers(self._index(group)))
        with redis.pipeline() as pipe:
            pipe.incr(self._counter(group))
            pipe.expire(self._counter(group), 7 * 86_400)
            pipe.delete(self._index(group), *keys)
            pipe.execute()

    def _give_up(self, error: Exception) -> None:
        self._rests_until = time.monotonic() + REST_SECONDS
        if not self._is_away:
            self._is_away = True
            logger.warning(
                "the cache is away (%s); reports are computed each time until it is back", type(error).__name__
            )

    def _index(self, group: str) -> str:
        return f"{self._prefix}keys:{group}"

    def _counter(self, group: str) -> str:
        return f"{self._prefix}generation:{group}"


def _bytes(answer: Any) -> bytes | None:
    return answer.encode() if isinstance(answer, str) else answer


def _dumped(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        return orjson.dumps(clean_json(value)[0])


def _loaded(raw: bytes | None) -> Any | None:
    """What is no JSON was not kept by us, and is a miss."""
    try:
        return None if raw is None else orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
