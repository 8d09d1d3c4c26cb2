"""Records that the database refuses for what they contain: set aside with the reason, never in the way of the rest.

`rejected/rejected.jsonl` holds a JSON object per line: `at` (microseconds since the epoch), `reason`, and `payload`
(the encoded record, base64). `flask stateful spool retry-rejected` puts them back into the spool.
"""

from __future__ import annotations

import base64
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import orjson

from stateful_engine.domain import clock

FOLDER = "rejected"
FILE = "rejected.jsonl"
RETRY_PREFIX = "retry-"


@dataclass(frozen=True, slots=True)
class Reject:
    """A payload and why it cannot be stored; the reason names no values."""

    payload: bytes
    reason: str


class Rejects:
    """The folder of set-aside records below the spool folder, shared by all processes."""

    def __init__(self, spool_folder: Path) -> None:
        self.folder = spool_folder / FOLDER

    def add(self, rejects: Sequence[Reject]) -> None:
        """Write `rejects` down, on the disk itself before this returns."""
        lines = b"".join(_line(reject) for reject in rejects)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = _open_locked(self.folder / FILE)
        try:
            _write_all(descriptor, lines)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def count(self) -> int:
        """How many records are set aside."""
        return sum(_lines_in(path) for path in self._files())

    def take(self) -> Iterator[tuple[Path, list[bytes]]]:
        """The payloads of each file to try again; the caller deletes the file once they are safe elsewhere."""
        self._move_aside()
        for path in self._files():
            if path.name.startswith(RETRY_PREFIX):
                yield path, [base64.b64decode(entry["payload"]) for entry in _entries(path)]

    def rewrite(self, change: Callable[[bytes], bytes | None]) -> int:
        """Replace each payload by what `change` makes of it, None removes it; how many were changed."""
        return sum(_rewritten(path, change) for path in self._files())

    def reasons(self, most: int | None = None) -> dict[str, int]:
        """How many records are set aside for which reason; `most` ends the count after so many records."""
        entries = chain.from_iterable(_entries(path) for path in self._files())
        counts: dict[str, int] = {}
        for entry in islice(entries, most):
            counts[entry["reason"]] = counts.get(entry["reason"], 0) + 1
        return counts

    def _move_aside(self) -> None:
        """Rename the file under its lock, so that nobody adds to what is about to be read."""
        path = self.folder / FILE
        if not path.exists():
            return
        descriptor = _open_locked(path)
        try:
            path.rename(self.folder / f"{RETRY_PREFIX}{clock.epoch_us():016x}-{os.urandom(4).hex()}.jsonl")
        finally:
            os.close(descriptor)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl"))


def _line(reject: Reject) -> bytes:
    payload = base64.b64encode(reject.payload).decode()
    return orjson.dumps({"at": clock.epoch_us(), "reason": reject.reason, "payload": payload}) + b"\n"


def _rewritten(path: Path, change: Callable[[bytes], bytes | None]) -> int:
    """Put a changed copy in the place of a file, under its lock, so that nobody adds to the one that goes."""
    try:
        descriptor = _open_locked(path)
    except FileNotFoundError:
        return 0
    try:
        before = [(entry, base64.b64decode(entry["payload"])) for entry in _entries(path)]
        after = [(entry, change(payload)) for entry, payload in before]
        changed = sum(made != given for (_, given), (_, made) in zip(before, after, strict=True))
        if changed:
            lines = [
                orjson.dumps({**entry, "payload": base64.b64encode(made).decode()}) for entry, made in after if made
            ]
            _put_in_place(path, b"".join(line + b"\n" for line in lines))
        return changed
    finally:
        os.close(descriptor)


def _put_in_place(path: Path, content: bytes) -> None:
    copy = path.with_name(f".{path.name}-{os.urandom(4).hex()}")
    descriptor = os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        _write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    copy.replace(path)


def _entries(path: Path) -> Iterator[dict[str, str]]:
    """The entries of a file; a line whose end a power cut took is left out."""
    with path.open("rb") as lines:
        for line in lines:
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError:
                continue


def _lines_in(path: Path) -> int:
    try:
        with path.open("rb") as lines:
            return sum(1 for _ in lines)
    except FileNotFoundError:
        return 0


def _open_locked(path: Path) -> int:
    """The file at `path`, locked, and still at `path` once it is locked."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
