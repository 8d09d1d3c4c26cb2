"""A page of 50 signals at the beginning of the history and a million signals further down, through our StateManager.

    python benchmarks/history.py [--database postgresql sqlite] [--depth 1000000] [--rounds 50]

Both are measured without a filter and for one symbol of fifty; the same page by OFFSET is shown for comparison. The
variants are interleaved; medians.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from common import medians, verdict
from sqlalchemy import select
from year import SYMBOLS, fill, store

from stateful_engine.storage.pages import Place, encode_cursor
from stateful_engine.storage.signals import TABLE, SignalHistory

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

PAGE = 50
SYMBOL = "S31USDT"


def cursor_at(runtime: Runtime, depth: int, symbol: str | None) -> str:
    """The cursor that a reader has who has turned pages until `depth`."""
    statement = select(SignalHistory.created_at, SignalHistory.id)
    if symbol is not None:
        statement = statement.where(SignalHistory.symbol == symbol)
    statement = statement.order_by(SignalHistory.created_at.desc(), SignalHistory.id.desc()).offset(depth - 1).limit(1)
    with runtime.database.reading() as session:
        return encode_cursor(TABLE, Place(*session.execute(statement).one()))


def turn(runtime: Runtime, cursor: str | None, symbol: str | None) -> None:
    manager = runtime.state_manager
    page = manager.signal_page(manager.signal_filters(days=0, symbol=symbol), cursor, PAGE)
    assert len(page.items) == PAGE


def skip(runtime: Runtime, depth: int) -> None:
    statement = select(SignalHistory).order_by(SignalHistory.created_at.desc(), SignalHistory.id.desc())
    with runtime.database.reading() as session:
        assert len(session.scalars(statement.offset(depth).limit(PAGE)).all()) == PAGE


def measure(kind: str, depth: int, rounds: int) -> None:
    print(kind)
    with store(kind) as runtime:
        fill(runtime, depth + SYMBOLS * PAGE, counted=False)
        deep, deep_of_symbol = cursor_at(runtime, depth, None), cursor_at(runtime, depth // SYMBOLS, SYMBOL)
        found = medians(
            {
                "first page": lambda: turn(runtime, None, None),
                "deep page": lambda: turn(runtime, deep, None),
                "first page of a symbol": lambda: turn(runtime, None, SYMBOL),
                "deep page of a symbol": lambda: turn(runtime, deep_of_symbol, SYMBOL),
            },
            rounds,
        ) | medians({"by OFFSET": lambda: skip(runtime, depth)}, 3)
    for name, milliseconds in found.items():
        print(f"  {name:>22}: {milliseconds:10.3f} ms")
    ratio = found["deep page of a symbol"] / found["first page of a symbol"]
    verdict(f"{kind}: deep page / first page, of one symbol", ratio, limit=1.5, at_most=True)
    verdict(f"{kind}: deep page / first page", found["deep page"] / found["first page"], limit=1.5, at_most=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--depth", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    for kind in options.database:
        measure(kind, options.depth, options.rounds)


if __name__ == "__main__":
    main()
