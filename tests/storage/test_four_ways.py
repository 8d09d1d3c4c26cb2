"""Our tables come to head in four ways: `flask db` in a checkout, `flask stateful db` in a host, from code, and from an
installed wheel that knows no checkout.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskCliRunner

from stateful_engine.storage import migrate
from stateful_engine.storage.database import Database
from tests.factories import ROOT

HOST = """
from flask import Flask
from stateful_engine import StatefulEngine

def create_app():
    app = Flask(__name__)
    app.config.from_prefixed_env()
    StatefulEngine(app)
    return app
"""

TOUR = """
import sys
from pathlib import Path
import stateful_engine
from host import create_app

assert Path(sys.prefix) in Path(stateful_engine.__file__).parents, stateful_engine.__file__
app = create_app()
client = app.test_client()
signal = {"symbol": "BTCUSDT", "action": "BUY", "confidence": 85.5, "entry_price": 45000.0}
saved = client.post("/api/gpts/state/track-signal", json={"signal_data": signal})
assert saved.status_code == 200, saved.text
found = client.get(f"/api/gpts/state/signal/{saved.json['signal_id']}")
assert found.status_code == 200, found.text
assert client.get("/api/gpts/state/ready").status_code == 200
app.extensions["stateful_engine"].close()
print("remembered")
"""


@pytest.fixture
def database(empty_database_url: str) -> Iterator[Database]:
    """The database that is to be migrated; nothing migrates it by itself."""
    opened = Database(empty_database_url, auto_migrate=False)
    yield opened
    opened.dispose()


def environment(database: Database, folder: Path, **more: str) -> dict[str, str]:
    """The environment of an operator whose host is in `folder`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FLASK_", "PYTHON"))}
    url = database.engine.url.render_as_string(hide_password=False)
    return {
        **inherited,
        "FLASK_STATEFUL_DATABASE_URL": url,
        "FLASK_STATEFUL_AUTO_MIGRATE": "false",
        "FLASK_STATEFUL_SPOOL_DIR": str(folder / "spool"),
        "FLASK_SQLALCHEMY_DATABASE_URI": f"sqlite:///{folder / 'host.sqlite'}",
        "FLASK_STATEFUL_AUTH": "none",
        **more,
    }


def run(python: str, *arguments: str, folder: Path, env: dict[str, str]) -> str:
    command = [python, *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def flask(*arguments: str, database: Database, folder: Path, cwd: Path, app: str) -> str:
    env = environment(database, folder, FLASK_APP=app, PYTHONPATH=str(ROOT))
    return run(sys.executable, "-m", "flask", *arguments, folder=cwd, env=env)


def test_flask_db_works_in_a_checkout(database: Database, tmp_path: Path) -> None:
    flask("db", "upgrade", database=database, folder=tmp_path, cwd=ROOT, app="wsgi")
    assert migrate.check(database) == []
    host = checkout_host(database, tmp_path)
    assert host.invoke(args=["db", "check"]).exit_code == 0
    assert host.invoke(args=["db", "downgrade", "base"]).exit_code == 0
    assert migrate.current(database) is None
    assert not (tmp_path / "host.sqlite").exists()


def checkout_host(database: Database, folder: Path) -> FlaskCliRunner:
    """The commands of `wsgi.py`'s host, run in this process."""
    from wsgi import create_app

    config = {
        "STATEFUL_DATABASE_URL": database.engine.url.render_as_string(hide_password=False),
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{folder / 'host.sqlite'}",
        "STATEFUL_SPOOL_DIR": str(folder / "spool"),
    }
    return create_app(config).test_cli_runner()


def test_flask_db_prints_the_statements_when_asked(database: Database, tmp_path: Path) -> None:
    printed = flask("db", "upgrade", "--sql", database=database, folder=tmp_path, cwd=ROOT, app="wsgi")
    assert "CREATE TABLE signal_history" in printed
    assert ("CREATE SCHEMA" in printed) == (database.schema is not None)
    assert migrate.current(database) is None


def test_flask_stateful_db_works_in_any_host(database: Database, tmp_path: Path) -> None:
    (tmp_path / "host.py").write_text(HOST)
    printed = flask("stateful", "db", "upgrade", database=database, folder=tmp_path, cwd=tmp_path, app="host")
    assert f"nothing -> {migrate.head()}" in printed
    assert migrate.check(database) == []


def test_a_call_from_code_is_enough(database: Database) -> None:
    migrate.upgrade(database)
    assert migrate.check(database) == []


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built from a copy so that nothing is left in it."""
    source = tmp_path_factory.mktemp("source")
    for name in ("stateful_engine", "migrations"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source / name)
    target = tmp_path_factory.mktemp("wheel")
    pip = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    run(sys.executable, *pip, "--wheel-dir", str(target), ".", folder=source, env=dict(os.environ))
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python outside the checkout that has the wheel, and our dependencies from where this Python has them."""
    folder = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", "--without-pip", str(folder), folder=folder, env=dict(os.environ))
    python = str(folder / "bin" / "python")
    where = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder, env={}).strip()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(where)
    paths = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    Path(where, "dependencies.pth").write_text("\n".join(paths))
    return python


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "stateful_engine").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expected |= {
        f"stateful_engine/{path.relative_to(ROOT)}"
        for path in (ROOT / "migrations").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected - names == set()
    assert not [name for name in names if name.startswith(("tests/", "migrations/", "benchmarks/", "wsgi"))]


def test_an_installed_wheel_migrates_and_serves_without_a_checkout(
    installed: str, database: Database, tmp_path: Path
) -> None:
    (tmp_path / "host.py").write_text(HOST)
    (tmp_path / "tour.py").write_text(TOUR)
    env = environment(database, tmp_path, FLASK_APP="host")
    printed = run(installed, "-m", "flask", "stateful", "db", "upgrade", folder=tmp_path, env=env)
    assert f"nothing -> {migrate.head()}" in printed
    assert "remembered" in run(installed, "-W", "error", "tour.py", folder=tmp_path, env=env)
    assert migrate.check(database) == []
