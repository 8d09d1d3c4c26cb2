"""Nothing stays behind: the folder in which test servers live, and the watcher that clears it when their owner is gone.

Run as a program it is the watcher; it imports nothing but the standard library, so that it starts at once.
"""

from __future__ import annotations

import atexit
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PID_FILE = "server.pid"


def server_account() -> dict[str, Any]:
    """For root, the unprivileged account that servers run as (PostgreSQL refuses root), as `subprocess` takes it."""
    if os.geteuid() != 0:
        return {}
    import pwd

    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    account = known.get("postgres") or known.get("nobody")
    if account is None:
        raise RuntimeError("PostgreSQL refuses root and there is no account postgres or nobody; run as a user")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "cwd": "/"}


def may_enter(path: Path) -> bool:
    """Whether the account that servers run as may run the program `path`, or walk into the folder `path`."""
    return subprocess.run(["test", "-x", str(path)], check=False, **server_account()).returncode == 0


def give_to_server_account(path: Path) -> None:
    """Let the account that servers run as own `path`, and nobody else look into it."""
    account = server_account()
    if account:
        os.chown(path, account["user"], account["group"])
    path.chmod(0o700 if path.is_dir() else 0o600)


class Scratch:
    """One temporary folder per process, with a watcher process that clears it when this process is gone."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.root = _traversable_folder()
        self._count = 0
        self._watcher = subprocess.Popen(
            [sys.executable, "-E", "-S", __file__, str(self.root), str(self.owner)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def folder_for(self, kind: str) -> Path:
        """A new folder of the server account's own."""
        self._count += 1
        folder = self.root / f"{kind}-{self._count}"
        folder.mkdir(mode=0o700)
        give_to_server_account(folder)
        return folder

    def clear(self) -> None:
        """Stop what still runs and remove the folder; a forked child must leave its parent's servers alone."""
        if os.getpid() != self.owner:
            return
        assert self._watcher.stdin is not None
        self._watcher.stdin.close()
        self._watcher.wait()


_scratch: list[Scratch] = []


def scratch() -> Scratch:
    """This process's temporary folder, made on first use."""
    if not _scratch or _scratch[0].owner != os.getpid():
        _scratch[:] = [Scratch()]
        atexit.register(_scratch[0].clear)
    return _scratch[0]


def _traversable_folder() -> Path:
    """A temporary folder that the server account can walk into, wherever `TMPDIR` points."""
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        folder = Path(tempfile.mkdtemp(prefix="stateful-servers-", dir=parent))
        folder.chmod(0o711)
        if not server_account() or may_enter(folder):
            return folder
        folder.rmdir()
    raise RuntimeError("no temporary folder is open to the account of the servers; set TMPDIR to one that is")


def watch(root: Path, owner: int) -> None:
    """Wait until `owner` closes our standard input or dies, then clear `root`."""
    gone = False
    while not gone and os.getppid() == owner:
        ready, _, _ = select.select([0], [], [], 1.0)
        gone = bool(ready) and os.read(0, 1) == b""
    for pid_file in sorted(root.glob(f"*/{PID_FILE}")):
        _end_process(pid_file)
    _remove(root)


def _remove(root: Path) -> None:
    """Repeated, since the last words of an ending server may still add files."""
    deadline = time.monotonic() + 5.0
    while root.exists() and time.monotonic() < deadline:
        shutil.rmtree(root, ignore_errors=True)
        time.sleep(0.02)


def _end_process(pid_file: Path) -> None:
    """PostgreSQL's SIGQUIT ends its children too; a command is ended with its whole group."""
    kind = pid_file.parent.name.partition("-")[0]
    pid = int(pid_file.read_text().strip() or 0)
    if not pid:
        return
    send = os.killpg if kind == "command" else os.kill
    numbers = (signal.SIGCONT, signal.SIGQUIT if kind == "postgres" else signal.SIGTERM, signal.SIGKILL)
    for number in numbers:
        try:
            send(pid, number)
        except (ProcessLookupError, PermissionError):
            return
        if number is not signal.SIGCONT:
            _wait_gone(pid, 5.0)


def _wait_gone(pid: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)


def process_parents() -> list[tuple[int, int]]:
    """Every process with its parent; small containers have no `ps`, other systems than Linux no `/proc`."""
    if Path("/proc/self/stat").exists():
        found = ((int(folder.name), _stat(folder)) for folder in Path("/proc").glob("[0-9]*"))
        return [(pid, int(stat[1])) for pid, stat in found if stat]
    done = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    return [(int(pid), int(parent)) for pid, parent in (line.split() for line in done.stdout.splitlines())]


def _stat(folder: Path) -> list[str]:
    """State, parent and so on of a process; [] when it is gone."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def is_alive(pid: int) -> bool:
    """Whether a process still runs; one that waits to be reaped (some containers never do) counts as gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return _stat(Path(f"/proc/{pid}"))[:1] != ["Z"]


if __name__ == "__main__":
    watch(Path(sys.argv[1]), int(sys.argv[2]))
