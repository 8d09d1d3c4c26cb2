"""What importing the package costs: its time against that of what any host of it imports anyway, and what it loads.

The names that every host uses are imported; the reference, which they need as well, is a part of their time. What only
`init_app` needs is imported there and shown apart.

python benchmarks/imports.py [--rounds 11]
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import common

REFERENCE = "import flask, sqlalchemy.orm, pydantic"
OURS = "from stateful_engine import StatefulEngine, track_signal_generation"
UNWANTED = "numpy pandas scipy matplotlib pyarrow mcp alembic telegram openai".split()

TIMED = "import time; begin = time.perf_counter(); {}; print(time.perf_counter() - begin)"


def seconds(statement: str) -> float:
    """How long `statement` takes in a new interpreter."""
    return float(_run(TIMED.format(statement)))


def unwanted() -> list[str]:
    """Which of the modules that a host may not even have installed are loaded by importing the package."""
    return _run(f"{OURS}; import sys; print(*[name for name in {UNWANTED!r} if name in sys.modules])").split()


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    rounds = parser.parse_args().rounds
    seconds(OURS)
    whole = common.median([seconds(f"{OURS}; import flask; StatefulEngine(flask.Flask('host'))") for _ in range(3)])
    pairs = [(seconds(REFERENCE), seconds(OURS)) for _ in range(rounds)]
    print(f"flask + sqlalchemy.orm + pydantic  {common.median([reference for reference, _ in pairs]) * 1000:7.1f} ms")
    print(f"stateful_engine                    {common.median([ours for _, ours in pairs]) * 1000:7.1f} ms")
    print(f"with the first init_app            {whole * 1000:7.1f} ms")
    print(f"modules loaded that should not be: {', '.join(unwanted()) or 'none'}")
    common.verdict("import time, ratio", common.median([ours / base for base, ours in pairs]), limit=1.6, at_most=True)


if __name__ == "__main__":
    main()
