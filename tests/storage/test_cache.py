"""The cache: reports are kept for a while, never against the truth, and a dead Redis is only a miss."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from redis import Redis

from stateful_engine.storage import cache as caches
from stateful_engine.storage.cache import PREFIX, Cache
from tests.servers import RedisServer

KEY = "analytics:signals:30d"


@pytest.fixture(params=["in_process", "redis"])
def cache(request: pytest.FixtureRequest) -> Iterator[Cache]:
    """A cache in this process, then one in Redis."""
    opened = Cache(request.getfixturevalue("redis_url") if request.param == "redis" else None)
    yield opened
    opened.close()


@pytest.fixture
def dead() -> Iterator[Cache]:
    """A cache in a Redis that is not there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        opened = Cache(f"redis://127.0.0.1:{taken.getsockname()[1]}/0")
        yield opened
    opened.close()


def test_what_was_kept_comes_back_until_it_is_deleted(cache: Cache) -> None:
    value = {"total": 3, "rate": 57.05, "none": None, "list": ["é", True]}
    assert cache.get(KEY) is None
    cache.set(KEY, value, 60)
    assert cache.get(KEY) == value
    cache.delete(KEY)
    cache.delete(KEY)
    cache.delete()
    assert cache.get(KEY) is None


def test_what_comes_back_is_a_copy(cache: Cache) -> None:
    value: dict[str, Any] = {"list": [1]}
    cache.set(KEY, value, 60)
    value["list"].append(2)
    cache.get(KEY)["list"].append(3)  # type: ignore[index]
    assert cache.get(KEY) == {"list": [1]}


def test_a_value_goes_when_its_time_is_up(cache: Cache) -> None:
    cache.set(KEY, 1, 0.05)
    cache.set("forever", 1, 60)
    deadline = time.monotonic() + 5
    while cache.get(KEY) is not None:
        assert time.monotonic() < deadline
    assert cache.get("forever") == 1


@pytest.mark.parametrize("seconds", [0, -1])
def test_nothing_is_kept_for_no_time(cache: Cache, seconds: int) -> None:
    cache.set(KEY, 1, seconds)
    assert cache.remember(KEY, seconds, lambda: 2) == 2
    assert cache.get(KEY) is None


def test_values_beyond_json_take_their_json_form(cache: Cache) -> None:
    cache.set(KEY, {"price": Decimal("1.5"), "rate": float("nan"), 1: {2}}, 60)
    assert cache.get(KEY) == {"price": 1.5, "rate": None, "1": [2]}


def test_forgetting_a_kind_spares_the_others(cache: Cache) -> None:
    keys = (KEY, "analytics:signals:7d", "analytics:queries:7d", "analytics:signals_more:7d", "dedupe:x")
    for key in keys:
        cache.set(key, 1, 60)
    cache.invalidate("signals")
    assert [key for key in keys if cache.get(key)] == list(keys[2:])
    cache.set(KEY, 2, 60)
    assert cache.get(KEY) == 2


def test_a_claim_is_won_once(cache: Cache) -> None:
    start, won = threading.Barrier(6), []

    def claim(number: int) -> None:
        start.wait()
        won.append(cache.claim("dedupe:x", number, 60))

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(won)) == 1
    assert cache.claim("dedupe:x", 99, 60) == won[0]
    assert cache.claim("dedupe:y", 7, 0.01) == 7


def test_a_report_is_made_once_and_remembered(cache: Cache) -> None:
    made = iter([{"n": 1}, {"n": 2}])
    assert cache.remember(KEY, 60, lambda: next(made)) == {"n": 1}
    assert cache.remember(KEY, 60, lambda: next(made)) == {"n": 1}
    cache.invalidate("signals")
    assert cache.remember(KEY, 60, lambda: next(made)) == {"n": 2}


def test_a_report_that_was_overtaken_by_a_write_is_given_but_not_kept(cache: Cache) -> None:
    def make() -> str:
        cache.invalidate("signals")
        return "old"

    assert cache.remember(KEY, 60, make) == "old"
    assert cache.get(KEY) is None
    assert cache.remember(KEY, 60, lambda: "new") == "new"
    assert cache.get(KEY) == "new"


def test_a_report_is_not_kept_when_the_write_comes_at_the_very_last_moment(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the counter and the store of the report, another process forgets the kind."""
    mine, other = Cache(redis_url), Cache(redis_url)
    store: Any = mine._store
    look = store._is_still

    def look_then_write(pipe: Any, generation: Any) -> bool:
        answer: bool = look(pipe, generation)
        other.invalidate("signals")
        return answer

    monkeypatch.setattr(store, "_is_still", look_then_write)
    assert mine.remember(KEY, 60, lambda: "old") == "old"
    assert other.get(KEY) is None
    assert mine.status() == "redis"
    mine.close()
    other.close()


def test_in_this_process_the_longest_unused_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "MAX_ENTRIES", 3)
    cache = Cache()
    for number in range(3):
        cache.set(str(number), number, 60)
    cache.get("0")
    cache.set("3", 3, 60)
    assert [cache.get(str(number)) for number in range(4)] == [0, None, 2, 3]
    cache.claim("4", 4, 60)
    assert cache.get("0") is None


def test_status_and_reach_are_told(cache: Cache, dead: Cache) -> None:
    assert cache.reachable()
    assert cache.status() in {"in_process", "redis"}
    assert not dead.reachable()
    assert dead.status() == "redis_away"


def test_a_closed_cache_opens_again(cache: Cache) -> None:
    cache.close()
    cache.set(KEY, 1, 60)
    assert cache.get(KEY) == 1


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_uses_the_cache_though_a_thread_held_it(cache: Cache) -> None:
    cache.set(KEY, 1, 60)
    held, done = threading.Event(), threading.Event()
    lock = getattr(cache._store, "_lock", threading.Lock())

    def hold() -> None:
        with lock:
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(5)
    child = os.fork()
    if child == 0:
        os._exit(cache.get(KEY) or 0)
    _, status = os.waitpid(child, 0)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 1
    assert cache.get(KEY) == 1


# Redis


def test_keys_in_redis_carry_our_prefix_and_go_by_themselves(redis_url: str) -> None:
    cache = Cache(redis_url)
    cache.set(KEY, {"n": 1}, 60)
    cache.invalidate("queries")
    with Redis.from_url(redis_url) as redis:
        assert redis.get(f"{PREFIX}{KEY}") == b'{"n":1}'
        for key in redis.scan_iter():
            assert key.startswith(PREFIX.encode())
            assert redis.ttl(key) > 0
        redis.set(f"{PREFIX}{KEY}", b"\xffnot json")
    assert cache.get(KEY) is None
    cache.close()


def test_two_processes_see_what_the_other_keeps_and_forgets(redis_url: str) -> None:
    one, two = Cache(redis_url), Cache(redis_url)
    one.set(KEY, 1, 60)
    assert two.get(KEY) == 1
    two.invalidate("signals")
    assert one.get(KEY) is None
    one.close()
    two.close()


def test_constructing_asks_nobody() -> None:
    Cache("redis://192.0.2.1:6379/0")


def test_a_dead_redis_is_a_miss_that_costs_nothing_and_is_told_once(
    dead: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="stateful_engine"):
        dead.get(KEY)
        began = time.perf_counter()
        for _ in range(200):
            assert dead.get(KEY) is None
            dead.set(KEY, 1, 60)
            dead.delete(KEY)
            dead.invalidate("signals")
            assert dead.claim("dedupe:x", 5, 60) == 5
            assert dead.remember(KEY, 60, lambda: "made") == "made"
        assert time.perf_counter() - began < 1.0
    assert len(caplog.records) == 1
    assert "away" in caplog.text


def test_a_frozen_redis_is_given_up_after_a_short_while(monkeypatch: pytest.MonkeyPatch) -> None:
    with RedisServer() as server:
        cache = Cache(server.url)
        cache.set(KEY, 1, 60)
        server.freeze()
        began = time.perf_counter()
        for _ in range(20):
            assert cache.get(KEY) is None
        assert time.perf_counter() - began < 2.0
        server.thaw()
        cache.close()


def test_what_was_to_be_forgotten_while_redis_was_away_is_forgotten_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(caches, "REST_SECONDS", 0.0)
    caplog.set_level(logging.INFO, logger="stateful_engine")
    with RedisServer(durable=True) as server:
        cache, reader = Cache(server.url), Cache(server.url)
        cache.set(KEY, "stale", 600)
        cache.set("analytics:queries:7d", "right", 600)
        server.stop()
        cache.invalidate("signals")
        assert cache.get(KEY) is None
        server.start()
        assert cache.get("analytics:queries:7d") == "right"
        assert cache.get(KEY) is None
        assert reader.get(KEY) is None
        assert "answers again" in caplog.text
        cache.close()
        reader.close()
