"""Many machines: web hosts hand their records to a Redis stream, workers bring them into the database.

An entry is acknowledged and deleted only after the COMMIT of its rows; nothing else ever shortens the stream. What a
dead worker had in hand is claimed by another. Handing over or storing twice changes nothing: the ids are known.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Any

from stateful_engine.errors import ConfigurationError, StatefulEngineError, StorageUnavailableError
from stateful_engine.logging import logger
from stateful_engine.recording.preparing import Prepared, Preparer, without_secrets
from stateful_engine.recording.rejects import Rejects
from stateful_engine.recording.sinks import AWAY, DatabaseSink, Stored

if TYPE_CHECKING:
    import redis

    from stateful_engine.config import Settings
    from stateful_engine.guard import Guard
    from stateful_engine.recording.writer import OnCommit
    from stateful_engine.storage.database import Database

STREAM = "stateful_engine:records"
GROUP = "stateful_engine"
FIELD = b"r"

PIPELINE_RECORDS = 200
WORKER_BATCH = 1000
BLOCK_MS = 500
CLAIM_SECONDS = 10.0
CLAIM_IDLE_MS = 30_000
FORGET_CONSUMER_MS = 3_600_000
CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 10.0
RETRY_SECONDS = 1.0

Entry = tuple[bytes, bytes]


class Stream:
    """The Redis stream behind `url`; connects on first use, and anew in a forked child."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: redis.Redis | None = None
        self._pid = 0

    @property
    def client(self) -> redis.Redis:
        """The client of this process."""
        if self._client is None or self._pid != os.getpid():
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry

            self._client = redis.Redis.from_url(
                self._url,
                protocol=2,
                socket_connect_timeout=CONNECT_SECONDS,
                socket_timeout=ANSWER_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
            self._pid = os.getpid()
        return self._client

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """The answer to one command; raises `StorageUnavailableError` when Redis does not answer or refuses."""
        from redis.exceptions import RedisError

        try:
            return getattr(self.client, method)(*args, **kwargs)
        except RedisError as error:
            raise _away(error) from error

    def add(self, payloads: Sequence[bytes]) -> None:
        """Append `payloads`, a few hundred per round trip."""
        from redis.exceptions import RedisError

        try:
            for start in range(0, len(payloads), PIPELINE_RECORDS):
                pipeline = self.client.pipeline(transaction=False)
                for payload in payloads[start : start + PIPELINE_RECORDS]:
                    pipeline.xadd(STREAM, {FIELD: payload})
                pipeline.execute()
        except RedisError as error:
            raise _away(error) from error

    def done(self, ids: Sequence[bytes]) -> None:
        """Acknowledge and delete entries whose rows are committed, in one step."""
        from redis.exceptions import RedisError

        try:
            with self.client.pipeline(transaction=True) as pipeline:
                pipeline.xack(STREAM, GROUP, *ids)
                pipeline.xdel(STREAM, *ids)
                pipeline.execute()
        except RedisError as error:
            raise _away(error) from error

    def lag(self) -> int | None:
        """How many records wait in the stream or are in the hands of a worker; None when Redis does not answer."""
        try:
            return int(self.call("xlen", STREAM))
        except StorageUnavailableError:
            return None

    def newest(self) -> str | None:
        """The id of the last record in the stream; None when it is empty."""
        found = self.call("xrevrange", STREAM, "+", "-", 1)
        return found[0][0].decode() if found else None

    def holds_until(self, entry_id: str) -> bool:
        """Whether records up to this one still wait or are in the hands of a worker."""
        return bool(self.call("xrange", STREAM, "-", entry_id, 1))


def _away(error: Exception) -> StorageUnavailableError:
    return StorageUnavailableError(
        f"the Redis stream does not take or give records ({type(error).__name__}); check STATEFUL_STREAM_URL and Redis",
        retry_after=5,
    )


class StreamSink:
    """The writer's sink on a web host: redacted rows go to the stream, awaited ones directly into the database."""

    def __init__(self, stream: Stream, direct: DatabaseSink) -> None:
        self._stream = stream
        self._direct = direct

    def store(self, batch: Prepared, awaited: Set[int] = frozenset()) -> Stored:
        """As `Sink.store`; awaited records go to the stream too when the database is away.

        What leaves this machine are ready rows: without secrets and long bodies.
        """
        stored = self._store_awaited(batch, awaited) if awaited else Stored()
        outgoing = [item for item in batch.items if item.index not in awaited or item.index in stored.forwarded]
        self._stream.add([without_secrets(item) for item in outgoing])
        stored.forwarded.update(item.index for item in outgoing)
        stored.rejects.update(batch.rejects)
        return stored

    def _store_awaited(self, batch: Prepared, awaited: Set[int]) -> Stored:
        part = Prepared(batch.payloads, [item for item in batch.items if item.index in awaited])
        try:
            return self._direct.store(part)
        except AWAY:
            return Stored(forwarded=set(awaited))


class Worker:
    """Brings the stream into the database; any number may run, on any machines."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        guard: Guard,
        *,
        on_commit: OnCommit | None = None,
        claim_idle_ms: int = CLAIM_IDLE_MS,
    ) -> None:
        if settings.stream_url is None:
            raise ConfigurationError("there is no stream to work on; set STATEFUL_STREAM_URL")
        self._stream = Stream(settings.stream_url)
        self._prepare = Preparer(settings)
        self._sink = DatabaseSink(database)
        self._rejects = Rejects(settings.spool_dir)
        self._guard = guard
        self._on_commit = on_commit
        self._claim_idle_ms = claim_idle_ms
        self._next_claim = 0.0
        self._has_group = False
        self._told: str | None = None
        self.consumer = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
        self.stored_entries = 0

    def run(self, stop: threading.Event, *, until_empty: bool = False) -> None:
        """Work until `stop` is set; with `until_empty` also return when nothing is left in the stream.

        The batch in hand is finished first. While Redis or the database is away, the same work is tried again.
        """
        while not stop.is_set():
            try:
                worked = self.step(stop)
                if until_empty and not worked and self._stream.lag() == 0:
                    break
            except StorageUnavailableError as error:
                self._say_why(error)
                self._has_group = False
                stop.wait(RETRY_SECONDS)
        self._leave()

    def step(self, stop: threading.Event) -> int:
        """Store the next batch, waiting a moment for one; returns how many entries are done."""
        self._ensure_group()
        entries = self._abandoned() or self._fresh()
        while entries and not self._store(entries):
            if stop.wait(RETRY_SECONDS):
                return 0
        return len(entries)

    def _store(self, entries: Sequence[Entry]) -> bool:
        """Commit a batch, then let go of its entries; False while the database is away."""
        try:
            stored = self._sink.store(self._prepare([payload for _, payload in entries]))
        except AWAY as error:
            self._say_why(error)
            return False
        if stored.rejects:
            self._rejects.add(list(stored.rejects.values()))
            self._guard.count("rejected_records", len(stored.rejects))
        if stored.counts and self._on_commit is not None:
            with self._guard("announce_commit"):
                self._on_commit(stored.counts)
        self._stream.done([entry_id for entry_id, _ in entries])
        self.stored_entries += len(entries)
        self._told = None
        return True

    def _say_why(self, error: StatefulEngineError) -> None:
        """Log why nothing goes on, once until it goes on again."""
        if error.message != self._told:
            self._told = error.message
            logger.warning("the worker waits: %s", error.message)

    def _fresh(self) -> list[Entry]:
        answer = self._stream.call(
            "xreadgroup", GROUP, self.consumer, {STREAM: ">"}, count=WORKER_BATCH, block=BLOCK_MS
        )
        return _entries(answer[0][1]) if answer else []

    def _abandoned(self) -> list[Entry]:
        """Entries that another worker took long ago and never finished."""
        now = time.monotonic()
        if now < self._next_claim:
            return []
        cursor, messages, *_ = self._stream.call(
            "xautoclaim", STREAM, GROUP, self.consumer, self._claim_idle_ms, "0-0", count=WORKER_BATCH
        )
        if cursor in (b"0-0", "0-0"):
            self._next_claim = now + CLAIM_SECONDS
        return _entries(messages)

    def _ensure_group(self) -> None:
        if self._has_group:
            return
        from redis.exceptions import RedisError, ResponseError

        try:
            self._stream.client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise _away(error) from error
        except RedisError as error:
            raise _away(error) from error
        self._has_group = True
        self._told = None
        self._forget_dead_consumers()

    def _forget_dead_consumers(self) -> None:
        for each in self._stream.call("xinfo_consumers", STREAM, GROUP):
            if each["pending"] == 0 and each["idle"] > FORGET_CONSUMER_MS:
                self._stream.call("xgroup_delconsumer", STREAM, GROUP, each["name"])

    def _leave(self) -> None:
        """Take the own name out of the group, unless entries are left under it for others to claim."""
        with self._guard("leave_the_stream"):
            for each in self._stream.call("xinfo_consumers", STREAM, GROUP):
                if each["name"].decode() == self.consumer and each["pending"] == 0:
                    self._stream.call("xgroup_delconsumer", STREAM, GROUP, self.consumer)


def _entries(messages: Sequence[tuple[bytes, dict[bytes, bytes] | None]]) -> list[Entry]:
    """Ids and payloads; an entry that was deleted meanwhile comes without fields and is left out."""
    return [(entry_id, fields[FIELD]) for entry_id, fields in messages if fields and FIELD in fields]
