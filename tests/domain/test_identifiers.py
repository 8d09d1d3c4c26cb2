"""Ids: unlike each other in every thread and in every process."""

from __future__ import annotations

import os
import re
import threading

import pytest

from stateful_engine.domain import identifiers


@pytest.mark.parametrize(
    ("make", "prefix"),
    [(identifiers.signal_id, "sig"), (identifiers.query_id, "qry"), (identifiers.interaction_id, "int")],
)
def test_an_id_says_its_kind_and_the_second_in_which_it_was_made(make: object, prefix: str, clock: object) -> None:
    made = make()  # type: ignore[operator]
    assert re.fullmatch(prefix + r"_[0-9a-f]{12}_1773480413", made)


def test_a_signal_id_tells_when_it_was_made(clock: object) -> None:
    assert identifiers.signal_made_at(identifiers.signal_id()) == 1773480413
    assert identifiers.signal_made_at("sig_12") is None
    assert identifiers.signal_made_at(identifiers.query_id()) is None


def test_no_id_comes_twice_in_many_threads() -> None:
    made: list[str] = []

    def work() -> None:
        made.extend(identifiers.signal_id() for _ in range(2000))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8000


def test_a_forked_child_makes_other_ids_than_its_parent() -> None:
    identifiers.signal_id()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, identifiers.signal_id().encode())
        os._exit(0)
    os.waitpid(pid, 0)
    child = os.read(reader, 100).decode()
    os.close(reader)
    os.close(writer)
    own = [identifiers.signal_id() for _ in range(500)]
    assert child.split("_")[1] not in {each.split("_")[1] for each in own}
