"""The full life of an experiment over REST and from the command line, served by two processes of one host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from stateful_engine.storage.experiments import Assignment
from tests.factories import ROOT

HOST = """
import sys
from flask import Flask, jsonify, request
from stateful_engine import Experiments, StatefulEngine, track_signal_generation
from werkzeug.serving import make_server

LEVELS = {"v1": (100.0, 98.0), "v2": (100.0, 99.0)}

def create_app():
    app = Flask("host", instance_path=sys.argv[1])
    app.config.update(STATEFUL_DATABASE_URL=sys.argv[2], STATEFUL_AUTH="none", STATEFUL_RATE_LIMIT="0/minute")
    StatefulEngine(app)
    experiments = Experiments()

    @app.get("/signal")
    @track_signal_generation
    def signal():
        assignment = experiments.assign("prompt-v2", request.args["user"])
        with experiments.exposed(assignment):
            entry, stop = LEVELS[assignment.config["prompt"]]
            answer = {"symbol": "BTCUSDT", "timeframe": "1H", "action": "BUY", "entry_price": entry, "stop_loss": stop}
            return jsonify(signal=answer, variant=assignment.variant, reason=assignment.reason)

    return app

server = make_server("127.0.0.1", 0, create_app(), threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""
STATE = "/api/gpts/state"
USERS = [f"user-{number}" for number in range(24)]
MATURES_WITHIN = 15.0


@contextmanager
def serving(folder: Path, database_url: str) -> Iterator[str]:
    """The address of a process of its own that serves the host."""
    (folder / "host.py").write_text(HOST)
    command = [sys.executable, str(folder / "host.py"), str(folder), database_url]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def ask(url: str, body: Any = None) -> dict[str, Any]:
    """What a server answers: to a GET, or to a POST of a body."""
    data = None if body is None else json.dumps(body).encode()
    call = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(call, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def matured(results: Callable[[], dict[str, Any]], n: int) -> dict[str, Any]:
    """The results as soon as all signals have reached their horizon of two seconds."""
    end = time.monotonic() + MATURES_WITHIN
    while True:
        found = results()
        if sum(arm["metrics"]["expectancy_r"]["n"] for arm in found["arms"].values()) == n:
            return found
        assert time.monotonic() < end, found
        time.sleep(0.1)


@pytest.fixture
def servers(database_url: str, tmp_path: Path) -> Iterator[list[str]]:
    """Two processes of one host on one database."""
    with ExitStack() as stack:
        folders = [tmp_path / name for name in ("one", "two")]
        for folder in folders:
            folder.mkdir()
        yield [stack.enter_context(serving(folder, database_url)) for folder in folders]


def test_a_full_life_over_rest_and_commands_with_two_processes(app: Flask, servers: list[str]) -> None:
    one, two = (f"{server}{STATE}/experiments" for server in servers)

    def command(*arguments: str) -> str:
        done = app.test_cli_runner().invoke(args=["stateful", "ab", *arguments])
        assert done.exit_code == 0, done.output
        return str(done.output)

    # Planned and written down by one door, begun by the other.
    planned = ask(f"{one}/plan", {"metric": "expectancy_r", "mde": 0.5, "sd": 1.0})["plan"]
    assert planned == json.loads(command("plan", "expectancy_r", "0.5", "--sd", "1.0"))
    design = {"name": "prompt-v2", "variant_a": {"prompt": "v1"}, "variant_b": {"prompt": "v2"}, "horizon_seconds": 2}
    ask(one, {**design, "planned_n": planned["clusters_total"], "guardrails": ["error_rate"]})
    assert ask(f"{two}/prompt-v2")["experiment"]["status"] == "draft"
    command("start", "prompt-v2")

    # Both processes serve all people at once; whoever is served twice sees the same.
    def served(server: str, user: str) -> tuple[str, str, str, str]:
        found = ask(f"{server}/signal?user={user}")
        return user, found["variant"], found["signal_id"], datetime.now(timezone.utc).isoformat()

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(served, servers * len(USERS), [user for user in USERS for _ in servers]))
    variants = {(user, variant) for user, variant, *_ in seen}
    assert len(variants) == len(USERS)
    assert {variant for _, variant in variants} == {"A", "B"}
    by_rest = ask(f"{two}/prompt-v2/assign", {"user_id": USERS[0]})
    assert (USERS[0], by_rest["variant"]) in variants
    assert command("assign", "prompt-v2", USERS[0]).startswith(by_rest["variant"])
    with app.extensions["stateful_engine"].database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Assignment)) == len(USERS)

    # A view reported its exposures itself; somebody who is shown a variant elsewhere is reported by hand.
    shown = {"unit": USERS[0], "variant": by_rest["variant"]}
    assert ask(f"{one}/prompt-v2/exposures", shown)["first"] is False
    late = ask(f"{one}/prompt-v2/assign", {"user_id": "late"})
    assert ask(f"{two}/prompt-v2/exposures", {"unit": "late", "variant": late["variant"]})["first"] is True

    # Outcomes, wherever the signal was made; then the same results by every door.
    for number, (_, _, signal_id, at) in enumerate(seen):
        ended = {"exit_price": 102.0, "closed_at": at}
        ask(f"{servers[number % 2]}{STATE}/signal/{signal_id}/outcome", ended)
    by_rest = matured(lambda: ask(f"{one}/prompt-v2/results")["results"], len(seen))
    by_command = json.loads(command("results", "prompt-v2", "--json"))
    assert by_command["arms"] == by_rest["arms"] == ask(f"{two}/prompt-v2/results")["results"]["arms"]
    assert {name: arm["metrics"]["expectancy_r"]["mean"] for name, arm in by_rest["arms"].items()} == {"A": 1, "B": 2}
    assert sum(arm["exposed_units"] for arm in by_rest["arms"].values()) == len(USERS) + 1
    assert by_rest["verdict"]["state"] == "COLLECTING"
    assert "COLLECTING" in command("results", "prompt-v2")

    # Kept, and judged on itself.
    kept = ask(f"{one}/prompt-v2/snapshots", {})["snapshot"]
    assert kept["results"]["arms"] == by_rest["arms"]
    ask(f"{servers[0]}{STATE}/signal/{seen[0][2]}/outcome", {"exit_price": 90.0, "correct": True})
    assert ask(f"{two}/prompt-v2/snapshots/{kept['snapshot_id']}")["snapshot"] == kept
    assert json.loads(command("snapshot", "prompt-v2", str(kept["snapshot_id"]))) == kept
    tested = ask(f"{two}/prompt-v2/aa-test", {"runs": 200})["aa_test"]
    assert tested == json.loads(command("aa-test", "prompt-v2", "--runs", "200"))
    assert tested["rate"] == tested["false_positives"] / 200

    # Only a declaration changes what is served, in every process.
    assert json.loads(command("stop", "prompt-v2"))["status"] == "stopped"
    assert ask(f"{servers[0]}/signal?user=new")["variant"] == "A"
    command("declare", "prompt-v2", "B")
    assert {ask(f"{server}/signal?user={user}")["variant"] for server in servers for user in USERS[:4]} == {"B"}
    assert [one["results"]["status"] for one in ask(f"{one}/prompt-v2/snapshots")["snapshots"]] == ["running"] * 2
    assert command("snapshots", "prompt-v2").count("COLLECTING") == 2
