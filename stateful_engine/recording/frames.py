"""How records lie in a segment file: a line each, which says its own length and checksum.

`<length, 8 hex digits> <crc32, 8 hex digits> <payload>\\n`. A payload may contain line breaks; after damage the next
place where length, checksum and line end agree is where reading goes on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from zlib import crc32

HEADER = 18
OVERHEAD = HEADER + 1
MAX_PAYLOAD = 64 * 2**20
"""Longest payload in bytes; a header that claims more is damage."""

UNFINISHED = 0
DAMAGED = -1

_HEADER = re.compile(rb"([0-9a-f]{8}) ([0-9a-f]{8}) ")


def frame(payload: bytes) -> bytes:
    """The line for `payload`."""
    return b"%08x %08x %b\n" % (len(payload), crc32(payload), payload)


@dataclass(frozen=True, slots=True)
class Damage:
    """A run of bytes that is no line; `torn` when it is a line whose end was never written."""

    data: bytes
    torn: bool


@dataclass(frozen=True, slots=True)
class Frames:
    """What a piece of a segment holds; `end` is the offset up to which everything in it is accounted for."""

    payloads: list[bytes]
    damages: list[Damage]
    end: int


def parse(data: bytes, start: int, *, limit: int, final: bool) -> Frames:
    """Read up to `limit` lines from `data`, whose first byte lies at offset `start` of its file.

    `final` says that nothing will follow: then an unfinished line at the end is a torn tail and is accounted for as
    damage instead of being waited for.
    """
    payloads: list[bytes] = []
    damages: list[Damage] = []
    at = 0
    while at < len(data) and len(payloads) < limit:
        behind = _line_end(data, at)
        if behind > 0:
            payloads.append(data[at + HEADER : behind - 1])
            at = behind
            continue
        if behind == UNFINISHED and not final:
            break
        resume = _next_line(data, at + 1, final=final)
        if resume is None:
            break
        damages.append(Damage(data[at:resume], torn=behind == UNFINISHED and resume == len(data)))
        at = resume
    return Frames(payloads, damages, start + at)


def _line_end(data: bytes, at: int) -> int:
    """The index behind the line that begins at `at`, or UNFINISHED, or DAMAGED."""
    if len(data) - at < HEADER:
        return UNFINISHED
    header = _HEADER.match(data, at)
    if header is None:
        return DAMAGED
    length = int(header[1], 16)
    if length > MAX_PAYLOAD:
        return DAMAGED
    behind = at + OVERHEAD + length
    if behind > len(data):
        return UNFINISHED
    payload_end = behind - 1
    if data[payload_end] != 10 or crc32(data[at + HEADER : payload_end]) != int(header[2], 16):
        return DAMAGED
    return behind


def _next_line(data: bytes, at: int, *, final: bool) -> int | None:
    """Where the next sound line begins; the end of `data` when there is none and nothing will follow."""
    for candidate in _HEADER.finditer(data, at):
        if _line_end(data, candidate.start()) > 0:
            return candidate.start()
    return len(data) if final else None
