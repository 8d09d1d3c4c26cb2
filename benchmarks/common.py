"""What the benchmarks share: servers, contestants as processes of their own, and figures."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

BODY: dict[str, Any] = {
    "success": True,
    "symbol": "BTC/USDT",
    "timeframe": "1H",
    "signal": {
        "action": "BUY",
        "confidence": 85.5,
        "entry_price": 45000.0,
        "take_profit": [46500.0, 47250.0, 48000.0],
        "stop_loss": 44200.0,
        "risk_reward_ratio": 1.8,
        "reasoning": "Strong bullish momentum after a sweep of the lows; the order block at 45000 held twice. " * 3,
    },
    "smc_analysis": {
        "order_blocks": [{"low": 45000 + 10 * n, "high": 45200 + 10 * n, "kind": "bullish"} for n in range(6)],
        "fvg": "44800-45000",
        "choch": True,
    },
    "technical_indicators": {f"ema_{n}": 45000.125 + n for n in range(5, 100, 8)} | {"rsi": 61.2, "atr": 312.5},
    "market_conditions": "BULLISH",
}
"""An answer of about 1.5 KB, as a signal view gives it."""


def server_address(kind: str) -> Any:
    """A context manager for the address of a real server: `postgresql` or `redis`, started unless one is given."""
    from tests.server_programs import DATABASE_VARIABLE, REDIS_VARIABLE
    from tests.servers import address

    return address({"postgresql": DATABASE_VARIABLE, "redis": REDIS_VARIABLE}[kind])


@contextmanager
def migrated_postgresql() -> Iterator[str]:
    """The address of a PostgreSQL database with our tables."""
    from tests.databases import PostgresTemplate

    with server_address("postgresql") as url:
        template = PostgresTemplate(url)
        try:
            with template.copied() as copy:
                yield copy
        finally:
            template.close()


@contextmanager
def stub_backend() -> Iterator[str]:
    """Where the clients of other makers send their data: a server on loopback that accepts everything."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Accepting)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Accepting(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        protobuf = "protobuf" in self.headers.get("Content-Type", "")
        body = b"" if protobuf else b'{"status": 1}'
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf" if protobuf else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        pass


class Contestant:
    """A process that runs `script --be NAME` and answers a line of JSON for each line of JSON it is sent."""

    def __init__(self, script: str, name: str, **options: object) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, script, "--be", name, json.dumps(options, default=str)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.ready = self._answer()

    def ask(self, **question: object) -> dict[str, Any]:
        """What the process answers to `question`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Let it end by itself."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended: {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def questions() -> Iterator[dict[str, Any]]:
    """What the other side asks a contestant, one after another; answer each with `answer`."""
    for line in sys.stdin:
        yield json.loads(line)


def answer(**values: object) -> None:
    """Answer a question, or at the beginning say that the contestant is ready."""
    print(json.dumps(values), flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0–1) of `values` lie."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def median(values: Sequence[float]) -> float:
    """The median, of ratios of interleaved rounds above all."""
    return statistics.median(values)


def times_of(contestants: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """How long each takes in milliseconds, in turns, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for work in contestants.values():
        work()
    for _ in range(rounds):
        for name, work in contestants.items():
            begun = time.perf_counter()
            work()
            times[name].append((time.perf_counter() - begun) * 1000)
    return times


def medians(contestants: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """The median time of each."""
    return {name: statistics.median(found) for name, found in times_of(contestants, rounds).items()}


def pin(core: int, *, pid: int = 0) -> None:
    """Keep a process (0: this one) and its children to come on one core, where the system can and has another."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > core:
        os.sched_setaffinity(pid, {core})


def verdict(name: str, ratio: float, *, limit: float, at_most: bool) -> None:
    """The last line of a benchmark: its ratio, its goal and whether it is reached."""
    reached = ratio <= limit if at_most else ratio >= limit
    sign = "<=" if at_most else ">="
    print(f"{name}: {ratio:.3f} (goal {sign} {limit:g}: {'reached' if reached else 'missed'})")
