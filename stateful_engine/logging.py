"""The package's logger, and log files for hosts that want them.

A library adds no handlers by itself, not even one that throws away: where the host configures no logging, Python
prints our warnings to stderr. `setup_file_logging` is for the host to call, and the only place where the root logger is
touched.
"""

from __future__ import annotations

import importlib
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

logger = logging.getLogger("stateful_engine")

FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
MIB = 2**20
FILES = (("chatgpt_bot.log", logging.INFO, 10 * MIB, 5), ("errors.log", logging.ERROR, 5 * MIB, 3))
"""Name, level, size at which a file is rotated, and how many rotated ones are kept."""


def setup_file_logging(log_dir: str | os.PathLike[str] = "data/logs") -> None:
    """Write the root logger's records to files in `log_dir`, without secrets; calling it again changes nothing.

    `chatgpt_bot.log` holds INFO and above (10 MB × 5), `errors.log` ERROR and above (5 MB × 3), both in UTF-8. A root
    that stands at WARNING is lowered to INFO. Several processes may share the files: each takes a lock on a file
    beside the log for one line, and reopens a log that another has rotated. The folder must be on a local file system.
    """
    folder = Path(log_dir).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    root = logging.getLogger()
    formatter = RedactingFormatter(FORMAT)
    known = {handler.baseFilename for handler in root.handlers if isinstance(handler, SharedRotatingFileHandler)}
    for name, level, size, kept in FILES:
        path = folder / name
        if str(path) not in known:
            handler = SharedRotatingFileHandler(
                path, maxBytes=size, backupCount=kept, encoding="utf-8", errors="backslashreplace", delay=True
            )
            handler.setLevel(level)
            handler.setFormatter(formatter)
            root.addHandler(handler)
    if root.level == logging.WARNING:
        root.setLevel(logging.INFO)


class RedactingFormatter(logging.Formatter):
    """Formats a record, exceptions included, and blanks out keys, tokens and bot-token URLs.

    A handler that rotates asks twice for a line, and there are two of them: the last line of a thread is kept.
    """

    def __init__(self, style: str) -> None:
        super().__init__(style)
        self._last = threading.local()

    def format(self, record: logging.LogRecord) -> str:
        """The line to write."""
        from stateful_engine.domain.redaction import redact_text

        if getattr(self._last, "record", None) is not record:
            self._last.line = redact_text(super().format(record))
            self._last.record = record
        line: str = self._last.line
        return line


class SharedRotatingFileHandler(RotatingFileHandler):
    """A rotating file that several processes may write: one line at a time, under a lock."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a log that another process has rotated meanwhile is opened anew."""
        try:
            with self._locked():
                self._follow()
                super().emit(record)
        except OSError:
            self.handleError(record)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of this log."""
        with Path(self.baseFilename + ".lock").open("ab") as lock:
            _lock(lock.fileno())
            try:
                yield
            finally:
                # Closing would not do where a fork meanwhile gave the child the same open file.
                _unlock(lock.fileno())

    def _follow(self) -> None:
        """Close a stream whose file is not the log any more."""
        if self.stream is None:
            return
        mine = os.fstat(self.stream.fileno())
        try:
            now = Path(self.baseFilename).stat()
        except FileNotFoundError:
            now = None
        if now is None or (mine.st_dev, mine.st_ino) != (now.st_dev, now.st_ino):
            self.stream.close()
            self.stream = self._open()


def _lock(descriptor: int) -> None:
    """Hold a file against other processes; Windows has no such lock, and needs one log a process."""
    fcntl = _fcntl()
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _unlock(descriptor: int) -> None:
    fcntl = _fcntl()
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _fcntl() -> Any:
    try:
        return importlib.import_module("fcntl")
    except ImportError:
        return None
