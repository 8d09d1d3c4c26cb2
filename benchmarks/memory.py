"""How much memory recording takes: a bare host and a recording one after the same requests, on one machine.

python benchmarks/memory.py [--requests 100000]
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import common
import overhead
from werkzeug.test import EnvironBuilder

LIMIT_MB = 40.0
BOTH_HAVE = ("flask", "sqlalchemy.orm", "pydantic")


def be(name: str, options: dict[str, Any]) -> None:
    """The life of a contestant: serve so many requests, then say how much memory is resident."""
    for module in BOTH_HAVE:
        importlib.import_module(module)
    app, flush = overhead.CONTESTANTS[name](options)
    environ = EnvironBuilder(overhead.PATH, headers={"User-Agent": overhead.AGENT}).get_environ()
    common.answer(ready=True)
    for question in common.questions():
        for _ in range(question["count"]):
            answer = app.wsgi_app(environ | {"wsgi.input": io.BytesIO()}, lambda *_: None)
            b"".join(answer)
        flushed = flush()
        common.answer(resident=_resident_mb(), peak=_peak_mb(), flushed=flushed)


def _resident_mb() -> float:
    """Resident memory now, in MB; the peak where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return _peak_mb()
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def _peak_mb() -> float:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--be", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--requests", type=int, default=100_000)
    arguments = parser.parse_args()
    if arguments.be:
        be(arguments.be[0], json.loads(arguments.be[1]))
        return
    with tempfile.TemporaryDirectory() as folder, common.migrated_postgresql() as url:
        answers = {}
        for name in ("bare view", "stateful_engine"):
            runner = common.Contestant(__file__, name, folder=folder, database=url)
            answers[name] = runner.ask(count=arguments.requests)
            runner.close()
            print(f"{name:16} {answers[name]['resident']:6.1f} MB resident, {answers[name]['peak']:6.1f} MB at most")
    if not answers["stateful_engine"]["flushed"]:
        raise SystemExit("not every record was stored, so the figure does not count")
    more = answers["stateful_engine"]["resident"] - answers["bare view"]["resident"]
    print(f"{arguments.requests} records recorded and stored")
    common.verdict("memory above the bare host, MB", more, limit=LIMIT_MB, at_most=True)


if __name__ == "__main__":
    main()
