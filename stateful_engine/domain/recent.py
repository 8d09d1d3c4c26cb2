"""What was worked out lately, for questions that come again and again."""

from __future__ import annotations

from typing import TypeVar

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class Recent(dict[KeyT, ValueT]):
    """At most so many answers by their question; a new one beyond that begins anew. Any number of threads may use it.

    Forgetting all at once keeps a look-up as cheap as that of a dict, which stands in the way of every request.
    """

    __slots__ = ("_most",)

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def keep(self, question: KeyT, answer: ValueT) -> None:
        """Remember `answer`."""
        if len(self) >= self._most:
            self.clear()
        self[question] = answer
