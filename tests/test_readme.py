"""The README tells the truth: its commands are run, and their output is compared with what it shows.

In the JSON that it shows, `...` stands for further members or items; ids, times and durations may differ.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from stateful_engine.config import _READERS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ELLIPSIS = "__more__"
TOUR_ADDRESS = "http://127.0.0.1:5000"

VOLATILE = (
    re.compile(r"(sig|qry|int)_[0-9a-f]{12}_[0-9]+"),
    re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(\+00:00|Z)"),
    re.compile(r"[0-9a-f]{32}"),
)
DURATIONS = {"processing_time_ms"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def steps(block: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block with the output that is shown under it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def shown_json(text: str) -> Any:
    """The JSON in a shown output, in which `...` stands for anything more."""
    text = text[text.index("{") :]
    text = re.sub(r"\[\s*\.\.\.\s*\]", f'["{ELLIPSIS}"]', text)
    text = re.sub(r"\{\s*\.\.\.\s*\}", f'{{"{ELLIPSIS}": 0}}', text)
    text = re.sub(r",\s*\.\.\.(?=\s*\})", f', "{ELLIPSIS}": 0', text)
    text = re.sub(r",\s*\.\.\.(?=\s*\])", f', "{ELLIPSIS}"', text)
    return json.loads(text)


def fits(shown: Any, real: Any, name: str = "") -> bool:
    """Whether `real` is what `shown` says, apart from what differs each time."""
    if isinstance(shown, dict):
        more = ELLIPSIS in shown
        named = {key: value for key, value in shown.items() if key != ELLIPSIS}
        return (
            isinstance(real, dict)
            and (more or set(named) == set(real))
            and all(key in real and fits(value, real[key], key) for key, value in named.items())
        )
    if isinstance(shown, list):
        if ELLIPSIS in shown:
            return isinstance(real, list)
        return (
            isinstance(real, list)
            and len(shown) == len(real)
            and all(fits(a, b) for a, b in zip(shown, real, strict=True))
        )
    if name in DURATIONS:
        return isinstance(real, (int, float))
    return masked(shown) == masked(real)


def masked(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    for pattern in VOLATILE:
        value = pattern.sub("#", value)
    return value


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the demo host, as `script/server` runs it."""
    from wsgi import create_app

    folder = tmp_path_factory.mktemp("demo")
    app = create_app(
        {
            "STATEFUL_DATABASE_URL": f"sqlite:///{folder / 'demo.sqlite'}",
            "STATEFUL_SPOOL_DIR": str(folder / "spool"),
            "STATEFUL_AUTH": "none",
        }
    )
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
    app.extensions["stateful_engine"].close()


def test_the_tour_gives_the_output_that_it_shows(demo: str) -> None:
    script = "set -e\n"
    expected = []
    for block in blocks("console"):
        for command, output in steps(block):
            if "curl" in command:
                script += command.replace(TOUR_ADDRESS, demo) + "\nprintf '\\n@@@@\\n'\n"
                expected.append((command, output))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    outputs = done.stdout.split("\n@@@@\n")[:-1]
    assert len(outputs) == len(expected)
    for (command, shown), real in zip(expected, outputs, strict=True):
        check_output(command, shown, real)


def check_output(command: str, shown: str, real: str) -> None:
    if not shown.strip():
        return
    real = real.replace("\r\n", "\n")
    for line in shown[: shown.index("{")].splitlines():
        assert masked(line) in [masked(one) for one in real.splitlines()], (command, line, real)
    body = json.loads(real[real.index("\n\n") :] if real.startswith("HTTP/") else real)
    assert fits(shown_json(shown), body), (command, body)


@pytest.mark.parametrize("source", blocks("python"))
def test_every_python_block_runs(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are read by a compiler at least; those that build an app are executed."""
    code = compile(source, "README.md", "exec")
    if "data/journal.sqlite" in source:
        monkeypatch.chdir(tmp_path)
        exec(code, {})
    if "def create_app" not in source:
        return
    (tmp_path / "readme_app.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    app = importlib.import_module("readme_app").create_app()
    del sys.modules["readme_app"]
    try:
        assert app.extensions["stateful_engine"].settings.enabled
    finally:
        app.extensions["stateful_engine"].close()


GPT_ADDRESS = "https://signals.example.com"


def recipe_blocks(language: str) -> list[str]:
    """The code of the ten steps, without the indentation of their list."""
    recipe = README[README.index("## A custom GPT in ten steps") : README.index("## MCP")]
    found = re.findall(rf"^ +```{language}\n(.*?)^ +```$", recipe, flags=re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in found]


def test_the_ten_steps_lead_to_a_gpt_that_can_call(tmp_path: Path) -> None:
    (source,) = recipe_blocks("python")
    (tmp_path / "gpt_host.py").write_text(source, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    install, prepare, serve, _, look, document, ask = recipe_blocks("sh")
    assert install == "pip install . gunicorn\n"
    script = "\n".join(
        [
            "set -e",
            prepare.replace("flask stateful keys create my-gpt", "KEY=$(flask stateful keys create my-gpt)"),
            document,
            f"{serve.strip().replace('8000', str(port))} & trap 'kill $!' EXIT",
            f"curl -s --retry 50 --retry-connrefused --retry-delay 0 127.0.0.1:{port}/signal/BTCUSDT",
            "echo @@@@",
            look.replace("\n", "\necho @@@@\n"),
            ask,
        ]
    )
    done = subprocess.run(
        ["sh", "-c", script.replace(f"{GPT_ADDRESS}/", f"http://127.0.0.1:{port}/")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
    )

    assert done.returncode == 0, done.stderr
    said, *answers = done.stdout.split("@@@@\n")
    assert said.startswith("ok: ChatGPT Actions can import this document\n")
    health, stranger, asked = (json.loads(answer) for answer in answers)
    assert (health["status"], stranger["error"]) == ("ok", "UNAUTHORIZED")
    assert [one["endpoint"] for one in asked["queries"]] == ["/signal/<symbol>"]
    offered = json.loads((tmp_path / "actions.json").read_text(encoding="utf-8"))
    assert offered["servers"] == [{"url": GPT_ADDRESS}]
    assert "/signal/{symbol}" in offered["paths"]


def test_every_setting_is_in_the_readme() -> None:
    missing = [f"STATEFUL_{name.upper()}" for name in _READERS if f"STATEFUL_{name.upper()}" not in README]
    assert missing == []


def test_every_public_name_is_in_the_readme() -> None:
    import stateful_engine

    assert [name for name in stateful_engine.__all__ if f"`{name}`" not in README and f"{name}(" not in README] == []
