"""A real PostgreSQL and a real Redis for the tests, without Docker and without root.

Found in this order: the addresses in `STATEFUL_TEST_DATABASE_URL` and `STATEFUL_TEST_REDIS_URL`; server programs on
this machine; wheels of the `test` extra that carry the servers. `STATEFUL_TEST_SERVERS=machine` or `=wheels` allows
only the one kind. Everything listens on a random port of 127.0.0.1 behind a random password, keeps its files in one
temporary folder, and goes away with the process that started it, also when it is killed: `scratch.py` sees to it.

    python -m tests.servers -- COMMAND ...      both servers for the time of COMMAND, addresses in its environment
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tests.scratch import PID_FILE, give_to_server_account, process_parents, scratch, server_account
from tests.server_programs import DATABASE_VARIABLE, REDIS_VARIABLE, find_postgres, find_redis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

START_SECONDS = 60.0
STOP_SECONDS = 10.0


class Server(ABC):
    """A running server of our own; fault tests stop, kill, freeze and restart it, its address stays the same."""

    kind = "server"
    stop_signal = signal.SIGTERM

    def __init__(self) -> None:
        self.folder = scratch().folder_for(self.kind)
        self.password = secrets.token_hex(8)
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen: list[int] = []

    @property
    @abstractmethod
    def url(self) -> str:
        """The address under which tests reach it."""

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether a client gets a sensible answer now."""

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise RuntimeError(f"{self.kind} is not running; call start() first")
        return self._process.pid

    def start(self) -> None:
        """Start and wait until it answers; the first start picks the port."""
        deadline = time.monotonic() + START_SECONDS
        while not self._started():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.kind} did not start within {START_SECONDS:.0f} s:\n{self.log_tail()}")
            time.sleep(0.2)

    def _started(self) -> bool:
        """One try: another process may have taken the port, and the remains of a killed server may still be leaving."""
        fresh = self.port == 0
        self.port = self.port or free_port()
        self._process = self._spawn()
        while self._process.poll() is None:
            if self.answers():
                return True
            time.sleep(0.02)
        self._forget()
        if fresh:
            self.port = 0
        return False

    def _spawn(self) -> subprocess.Popen[bytes]:
        """Through `sh`, which writes its own pid before it becomes the server: the watcher can never miss one."""
        line = ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.folder / PID_FILE), *self.command()]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **server_account()
            )

    def stop(self) -> None:
        """Stop it in the orderly, fast way; harmless when it is not running."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """Take it away as a crash would: no goodbye, nothing flushed."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it and bring it back under the same address."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let it hang: connections stay open and nothing is answered until `thaw()`."""
        self._frozen = [*self.children(), self.pid]
        self._signal_frozen(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._signal_frozen(signal.SIGCONT)
        self._frozen = []

    def _signal_frozen(self, number: signal.Signals) -> None:
        for pid in self._frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def children(self) -> list[int]:
        """Further processes of this server that serve clients."""
        return []

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self.thaw()
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._forget()

    def _forget(self) -> None:
        self._process = None
        (self.folder / PID_FILE).unlink(missing_ok=True)

    def log_tail(self) -> str:
        """The last lines that the server wrote, for a message."""
        log = self.folder / "log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-20:]) if log.exists() else "(no log)"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class PostgresServer(Server):
    """An own PostgreSQL cluster. `durable=True` leaves fsync on, for tests that kill it."""

    kind = "postgres"
    stop_signal = signal.SIGINT

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__()
        self.programs = find_postgres()
        self.durable = durable

    @property
    def url(self) -> str:
        return f"postgresql+psycopg2://stateful:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    def start(self) -> None:
        if not self.data.exists():
            self._initdb()
        super().start()

    def kill(self) -> None:
        super().kill()
        self._release_shared_memory()

    def _initdb(self) -> None:
        secret = self.folder / "password"
        secret.write_text(self.password)
        give_to_server_account(secret)
        options = ["-U", "stateful", "--auth=password", f"--pwfile={secret}", "-E", "UTF8", "--no-locale", "-N"]
        done = subprocess.run(
            [str(self.programs / "initdb"), "-D", str(self.data), *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **server_account(),
        )
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "dynamic_shared_memory_type": "mmap",
            "jit": "off",
            "log_timezone": "UTC",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.programs / "postgres"), "-D", str(self.data), *options]

    def answers(self) -> bool:
        import psycopg2

        try:
            psycopg2.connect(self.url.replace("+psycopg2", ""), connect_timeout=5).close()
        except psycopg2.OperationalError:
            return False
        return True

    def children(self) -> list[int]:
        return [pid for pid, parent in process_parents() if parent == self.pid]

    def _release_shared_memory(self) -> None:
        """A killed postmaster leaves some System V memory behind, named in the seventh line of its pid file."""
        notes = self.data / "postmaster.pid"
        lines = notes.read_text().splitlines() if notes.exists() else []
        if len(lines) > 6 and shutil.which("ipcrm"):
            segment = lines[6].split()[-1]
            subprocess.run(["ipcrm", "-m", segment], capture_output=True, check=False)


class RedisServer(Server):
    """An own Redis or Valkey. `durable=True` keeps an append-only file that is synced on every write."""

    kind = "redis"

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__()
        self.program = find_redis()
        self.durable = durable

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        configuration = self.folder / "redis.conf"
        configuration.write_text(self._configuration())
        give_to_server_account(configuration)
        return [str(self.program), str(configuration)]

    def _configuration(self) -> str:
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {self.password}",
            f'dir "{self.folder}"',
            "databases 64",
            'save ""',
        ]
        lines += ["appendonly yes", "appendfsync always"] if self.durable else ["appendonly no"]
        return "\n".join([*lines, ""])

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as line:
                line.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                reply = b""
                while b"PONG" not in reply:
                    chunk = line.recv(1024)
                    if not chunk:
                        return False
                    reply += chunk
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def address(variable: str) -> Iterator[str]:
    """The address that the environment gives in `variable`, or that of a server which runs inside the block."""
    given = os.environ.get(variable)
    if given:
        yield given
        return
    servers: dict[str, type[PostgresServer | RedisServer]] = {
        DATABASE_VARIABLE: PostgresServer,
        REDIS_VARIABLE: RedisServer,
    }
    with servers[variable]() as server:
        yield server.url


def run(command: Sequence[str]) -> int:
    """Run `command` with both servers; SIGINT, SIGTERM and SIGHUP reach it, then the servers stop. Its exit status."""
    with address(DATABASE_VARIABLE) as database_url, address(REDIS_VARIABLE) as redis_url:
        addresses = {DATABASE_VARIABLE: database_url, REDIS_VARIABLE: redis_url}
        # A shell starts what it runs in the background with SIGINT ignored, and a child would inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        child = subprocess.Popen(command, env={**os.environ, **addresses}, start_new_session=True)
        (scratch().folder_for("command") / PID_FILE).write_text(str(child.pid))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda received, _frame: child.send_signal(received))
        status = child.wait()
    return status if status >= 0 else 128 - status


def main(arguments: Sequence[str]) -> int:
    """The command line, see the head of this file."""
    command = list(arguments[1:] if arguments[:1] == ["--"] else arguments)
    if not command:
        sys.stderr.write("usage: python -m tests.servers -- COMMAND ...\n")
        return 2
    try:
        return run(command)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
