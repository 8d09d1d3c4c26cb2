"""Log files: created, rotated, shared by processes, and without secrets."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import stateful_engine.logging as engine_logging
from stateful_engine.logging import SharedRotatingFileHandler, setup_file_logging


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, given back as it was."""
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    logger.setLevel(logging.WARNING)
    yield logger
    for handler in set(logger.handlers) - set(handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(level)


def test_a_warning_reaches_stderr_where_the_host_configures_no_logging() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "from stateful_engine.logging import logger; logger.warning('the spool is full')"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stderr == "the spool is full\n"


def ours(root: logging.Logger) -> list[SharedRotatingFileHandler]:
    return [handler for handler in root.handlers if isinstance(handler, SharedRotatingFileHandler)]


def test_the_two_files_get_what_belongs_to_them(root: logging.Logger, tmp_path: Path) -> None:
    setup_file_logging(tmp_path / "logs")
    logging.getLogger("bot").info("gestartet – ähm")
    logging.getLogger("bot").error("broken")
    everything = (tmp_path / "logs" / "chatgpt_bot.log").read_text(encoding="utf-8")
    errors = (tmp_path / "logs" / "errors.log").read_text(encoding="utf-8")
    assert " - bot - INFO - gestartet – ähm\n" in everything
    assert " - bot - ERROR - broken\n" in everything
    assert "gestartet" not in errors
    assert "broken" in errors
    assert root.level == logging.INFO


def test_calling_it_again_changes_nothing(root: logging.Logger, tmp_path: Path) -> None:
    for _ in range(3):
        setup_file_logging(tmp_path)
    assert len(ours(root)) == 2
    assert [(handler.maxBytes, handler.backupCount) for handler in ours(root)] == [
        (10 * 2**20, 5),
        (5 * 2**20, 3),
    ]


def test_a_level_that_the_host_chose_is_left_alone(root: logging.Logger, tmp_path: Path) -> None:
    root.setLevel(logging.ERROR)
    setup_file_logging(tmp_path)
    assert root.level == logging.ERROR


def test_a_file_is_rotated_at_its_limit(root: logging.Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_logging, "FILES", (("chatgpt_bot.log", logging.INFO, 500, 5),))
    setup_file_logging(tmp_path)
    for number in range(100):
        logging.getLogger("bot").info("line %03d", number)
    files = sorted(path.name for path in tmp_path.glob("chatgpt_bot.log*") if not path.name.endswith(".lock"))
    assert files == ["chatgpt_bot.log", *(f"chatgpt_bot.log.{number}" for number in range(1, 6))]
    assert all((tmp_path / name).stat().st_size <= 500 for name in files)


def test_the_two_files_are_rotated_at_10_and_5_megabytes(root: logging.Logger, tmp_path: Path) -> None:
    setup_file_logging(tmp_path)
    for _ in range(11):
        logging.getLogger("bot").error("words " * 170_000)
    sizes = {path.name: path.stat().st_size for path in tmp_path.glob("*.log*") if path.suffix != ".lock"}
    assert set(sizes) == {"chatgpt_bot.log", "chatgpt_bot.log.1", "errors.log", "errors.log.1", "errors.log.2"}
    assert max(size for name, size in sizes.items() if name.startswith("chatgpt_bot")) <= 10 * 2**20
    assert max(size for name, size in sizes.items() if name.startswith("errors")) <= 5 * 2**20


def test_text_that_is_no_utf_8_is_written_all_the_same(root: logging.Logger, tmp_path: Path) -> None:
    setup_file_logging(tmp_path)
    logging.getLogger("bot").info("half a pair \ud83d and a whole one \U0001f680")
    assert "half a pair \\ud83d and a whole one \U0001f680" in (tmp_path / "chatgpt_bot.log").read_text("utf-8")


def test_a_folder_that_goes_away_breaks_nothing_and_is_told(
    root: logging.Logger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setup_file_logging(tmp_path / "logs")
    logging.getLogger("bot").info("before")
    for path in (tmp_path / "logs").iterdir():
        path.unlink()
    (tmp_path / "logs").rmdir()
    logging.getLogger("bot").info("meanwhile")
    assert "FileNotFoundError" in capsys.readouterr().err
    (tmp_path / "logs").mkdir()
    logging.getLogger("bot").info("after")
    assert (tmp_path / "logs" / "chatgpt_bot.log").read_text("utf-8").endswith("after\n")


def test_where_files_cannot_be_locked_the_log_is_written_without(
    root: logging.Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    setup_file_logging(tmp_path)
    logging.getLogger("bot").info("alone")
    assert "alone" in (tmp_path / "chatgpt_bot.log").read_text("utf-8")


@pytest.mark.parametrize(
    "secret",
    [
        "https://api.telegram.org/bot123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1/sendMessage",
        "Authorization: Bearer sk-proj-abcdefghijklmnopqrstuvwxyz0123456789",
        "api_key=abcdef0123456789abcdef",
    ],
)
def test_secrets_do_not_reach_the_file(root: logging.Logger, tmp_path: Path, secret: str) -> None:
    setup_file_logging(tmp_path)
    try:
        raise RuntimeError(f"call failed: {secret}")
    except RuntimeError:
        logging.getLogger("httpx").exception("request %s", secret)
    written = (tmp_path / "errors.log").read_text(encoding="utf-8")
    assert "[redacted]" in written
    for part in (
        "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1",
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "abcdef0123456789abcdef",
    ):
        assert part not in written


PROCESS = """
import logging, sys
import stateful_engine.logging as engine_logging
engine_logging.FILES = (("chatgpt_bot.log", logging.INFO, 4000, 50),)
engine_logging.setup_file_logging(sys.argv[1])
for number in range(300):
    logging.getLogger("p" + sys.argv[2]).info("line %03d", number)
"""


def test_processes_that_share_a_file_lose_no_line(tmp_path: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", PROCESS, str(tmp_path), str(number)]) for number in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    lines = [
        line
        for path in tmp_path.glob("chatgpt_bot.log*")
        if not path.name.endswith(".lock")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    assert len(lines) == 900
    assert len({line.split(" - ", 1)[1] for line in lines}) == 900


FORKING = """
import logging, os, sys
from stateful_engine.logging import setup_file_logging

class Forks:
    \"\"\"Forks while its line is written, as a server may do while another thread logs.\"\"\"
    def __str__(self):
        if not hasattr(self, "child"):
            self.child = os.fork()
            if self.child == 0:
                os.read(waiting, 1)
                os._exit(0)
        return "forked"

waiting, go = os.pipe()
setup_file_logging(sys.argv[1])
logging.getLogger("bot").info(Forks())
logging.getLogger("bot").info("after the fork")
os.write(go, b"x")
"""


def test_a_fork_in_the_middle_of_a_line_holds_nobody_up(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FORKING, str(tmp_path)], timeout=30, check=True)
    assert "after the fork" in (tmp_path / "chatgpt_bot.log").read_text(encoding="utf-8")
