"""Batches that are read ahead: each comes once, in order, whatever else the writer stores in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from stateful_engine.recording.batches import BATCH_RECORDS, Batches
from stateful_engine.recording.frames import frame
from stateful_engine.recording.preparing import Prepared
from stateful_engine.recording.segments import Segment
from stateful_engine.recording.spool import Spool


@pytest.fixture
def segments(tmp_path: Path) -> Iterator[tuple[Segment, Segment]]:
    """Two segments with two full batches and a half each."""
    made = []
    spools = [Spool(tmp_path / name, max_bytes=2**30) for name in ("one", "two")]
    for spool in spools:
        count = 5 * BATCH_RECORDS // 2
        spool.append(b"".join(frame(b"%d" % number) for number in range(count)), count)
        segment = spool.own()
        assert segment is not None
        made.append(segment)
    yield made[0], made[1]
    for spool in spools:
        spool.close()


def test_segments_that_are_stored_in_turn_are_each_prepared_once(segments: tuple[Segment, Segment]) -> None:
    prepared: list[bytes] = []

    def prepare(payloads: Sequence[bytes]) -> Prepared:
        prepared.extend(payloads)
        return Prepared(payloads)

    batches = Batches(prepare, lambda: False)
    taken: list[bytes] = []
    for _ in range(3):
        for segment in segments:
            batch = batches.take(segment)
            taken += batch.frames.payloads
            segment.offset = batch.frames.end
    batches.drop()
    assert len(taken) == len(prepared) == 5 * BATCH_RECORDS


def test_where_no_thread_can_be_started_the_next_batch_is_read_in_its_turn(
    segments: tuple[Segment, Segment], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    batches = Batches(Prepared, lambda: False)
    segment, count = segments[0], 0
    while segment.pending_bytes:
        batch = batches.take(segment)
        count += len(batch.frames.payloads)
        segment.offset = batch.frames.end
    assert count == 5 * BATCH_RECORDS // 2
