"""JSON text that is kept takes the room of its letters."""

from __future__ import annotations

import tracemalloc

import orjson

from stateful_engine.domain.jsonvalues import json_bytes


def test_a_kept_text_holds_no_room_beside_its_own() -> None:
    value = {"fvg": "44800-45000", "choch": True}
    assert orjson.loads(json_bytes(value)) == value
    tracemalloc.start()
    try:
        kept = [json_bytes(value) for _ in range(200)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 200 * (len(kept[0]) + 200)
