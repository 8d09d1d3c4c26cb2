"""One system call for one line: all of it, or the news that it was not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stateful_engine.recording import writing
from stateful_engine.recording.writing import SHORT, is_written


@pytest.mark.parametrize("size", [0, 1, 1000, SHORT, SHORT + 1, 2**20])
@pytest.mark.parametrize("has_libffi", [True, False])
def test_any_bytes_are_appended_as_they_are(
    tmp_path: Path, size: int, has_libffi: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_libffi:
        monkeypatch.setattr(writing, "_call", None)
    data = bytes(range(256)) * (size // 256) + b"\0\xff"[: size % 256]
    descriptor = os.open(tmp_path / "file", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    try:
        assert is_written(descriptor, data)
        assert is_written(descriptor, b"\0end\n")
    finally:
        os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == data + b"\0end\n"


@pytest.mark.parametrize("data", [b"short", b"long" * SHORT])
def test_what_cannot_be_written_is_told_and_not_raised(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").touch()
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        assert not is_written(descriptor, data)
    finally:
        os.close(descriptor)
