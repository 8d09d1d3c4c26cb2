"""Lines of a segment: what was written is read, what was damaged is told apart, nothing sound is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stateful_engine.recording.frames import MAX_PAYLOAD, frame, parse

PAYLOADS = st.lists(st.binary(max_size=200), max_size=20)


@given(payloads=PAYLOADS)
def test_what_was_framed_is_read_back_in_order(payloads: list[bytes]) -> None:
    data = b"".join(map(frame, payloads))
    frames = parse(data, 17, limit=1000, final=True)
    assert frames.payloads == payloads
    assert frames.damages == []
    assert frames.end == 17 + len(data)


def test_a_payload_may_hold_line_breaks_nul_and_what_looks_like_a_line() -> None:
    payloads = [b'{"a": 1}\n\n\0{\n}', frame(b"inner"), b""]
    frames = parse(b"".join(map(frame, payloads)), 0, limit=10, final=True)
    assert frames.payloads == payloads


def test_a_limit_stops_behind_a_whole_line() -> None:
    lines = [frame(b"one"), frame(b"two"), frame(b"three")]
    frames = parse(b"".join(lines), 0, limit=2, final=True)
    assert frames.payloads == [b"one", b"two"]
    assert frames.end == len(lines[0]) + len(lines[1])


def test_an_unfinished_line_is_waited_for_while_more_may_follow() -> None:
    data = frame(b"one") + frame(b"two")[:-3]
    frames = parse(data, 0, limit=10, final=False)
    assert frames.payloads == [b"one"]
    assert frames.end == len(frame(b"one"))
    assert frames.damages == []


@given(payloads=st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5), cut=st.integers(min_value=1))
def test_a_torn_tail_costs_only_the_line_that_was_torn(payloads: list[bytes], cut: int) -> None:
    last = frame(payloads[-1])
    kept = last[: cut % len(last)]
    data = b"".join(map(frame, payloads[:-1])) + kept
    frames = parse(data, 0, limit=100, final=True)
    assert frames.payloads == payloads[:-1]
    assert [damage.data for damage in frames.damages] == ([kept] if kept else [])
    assert all(damage.torn for damage in frames.damages)
    assert frames.end == len(data)


@given(payloads=st.lists(st.binary(min_size=1, max_size=50), min_size=3, max_size=6), data=st.data())
def test_a_changed_byte_costs_only_its_line(payloads: list[bytes], data: st.DataObject) -> None:
    victim = data.draw(st.integers(0, len(payloads) - 1))
    lines = [bytearray(frame(payload)) for payload in payloads]
    at = data.draw(st.integers(0, len(lines[victim]) - 1))
    lines[victim][at] ^= data.draw(st.integers(1, 255))
    frames = parse(b"".join(map(bytes, lines)), 0, limit=100, final=True)
    assert frames.payloads == payloads[:victim] + payloads[victim + 1 :]
    assert [damage.data for damage in frames.damages] == [bytes(lines[victim])]


@given(noise=st.binary(min_size=1, max_size=300))
def test_noise_is_accounted_for_and_reading_goes_on_behind_it(noise: bytes) -> None:
    frames = parse(frame(b"before") + noise + frame(b"behind"), 0, limit=100, final=True)
    assert frames.payloads[0] == b"before"
    assert frames.payloads[-1] == b"behind"


def test_a_length_that_cannot_be_meant_is_damage_and_not_waited_for() -> None:
    data = b"%08x 00000000 " % (MAX_PAYLOAD + 1) + b"x" * 50 + frame(b"sound")
    frames = parse(data, 0, limit=10, final=False)
    assert frames.payloads == [b"sound"]
    assert not frames.damages[0].torn


def test_zeros_behind_the_last_line_are_damage_that_ends_with_the_file() -> None:
    data = frame(b"one") + bytes(4096)
    frames = parse(data, 0, limit=10, final=True)
    assert frames.payloads == [b"one"]
    assert frames.end == len(data)
