from __future__ import annotations

from stateful_engine.domain.recent import Recent


def test_answers_are_kept_until_there_are_too_many_and_then_begun_anew() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.keep("a", 1)
    recent.keep("b", 2)
    assert recent == {"a": 1, "b": 2}
    recent.keep("c", 3)
    assert recent == {"c": 3}
    assert recent.get("a") is None
