"""One dict of a body: its known keys, its place, and the dicts around it."""

from __future__ import annotations

from stateful_engine.domain.spellings import Shape, shape_of
from stateful_engine.domain.vocabulary import Action

_NONE: tuple[str, ...] = ()


class Scope:
    """One dict of a body with its known keys sorted into slots; `action` and `strength` are set once its verb folds.

    `step` leads here from `parent` and is a key, or the key of a list and an index. An item is a member of a list or
    stands under its own `name`; a named scope stands under a key that says that signals are there.
    """

    __slots__ = ("action", "fields", "is_item", "is_named", "name", "parent", "shape", "step", "strength")

    def __init__(
        self,
        fields: dict[object, object],
        parent: Scope | None = None,
        *,
        step: tuple[object, ...] = (),
        is_item: bool = False,
        is_named: bool = False,
        name: str | None = None,
    ) -> None:
        self.fields = fields
        self.shape: Shape = shape_of(fields)
        self.parent = parent
        self.step = step
        self.is_item = is_item
        self.is_named = is_named
        self.name = name
        self.action: Action | None = None
        self.strength: str | None = None

    @property
    def path(self) -> tuple[object, ...]:
        """The keys and indexes that lead here from the root of the body."""
        return self.step if self.parent is None else (*self.parent.path, *self.step)

    def has(self, slot: str) -> bool:
        """Tell whether a slot holds anything but null."""
        keys = self.shape.get(slot)
        if keys is None:
            return False
        return self.fields[keys[0]] is not None or any(self.fields[key] is not None for key in keys[1:])

    def has_text(self, slot: str) -> bool:
        """Tell whether a slot holds a text."""
        fields = self.fields
        return any(isinstance(fields[key], str) for key in self.shape.get(slot, _NONE))

    def has_levels(self) -> bool:
        """Tell whether there is a target or a stop."""
        return self.has("stop_loss") or self.has("take_profit")

    def chain(self) -> list[Scope]:
        """List this scope and the scopes around it, nearest first."""
        scopes = [self]
        around = self.parent
        while around is not None:
            scopes.append(around)
            around = around.parent
        return scopes
