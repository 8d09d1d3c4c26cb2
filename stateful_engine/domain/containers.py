"""Where the signals of a body are: known containers only, never "any dict that has a key signal".

Scopes are looked at from the root inwards. A scope that refuses (`rejected`, `success: false`) ends the search below
it. Otherwise the first of these that yields a signal wins, so that one recommendation told twice is one signal:
the scope itself when it has levels; an explicit container (`signal`, `processed_signal`, …); a listing (`signals[]`);
the scope itself; a verdict (`recommendation`, `decision`, …) or a listing of verdicts; `data[]`; a wrapper (`data`,
`result`, …); an opinion (`technical_analysis`, `analysis`), which must hold a verdict; objects keyed by instrument.
"""

from __future__ import annotations

from collections.abc import Sequence

from stateful_engine.domain.advice import NO_VERB, is_position, is_whole_opinion, own_action, unlike_advice
from stateful_engine.domain.extracted import Note, pointer_of
from stateful_engine.domain.refusals import refusal
from stateful_engine.domain.scopes import Scope
from stateful_engine.domain.spellings import spellings
from stateful_engine.domain.symbols import is_instrument

MAX_SIGNALS = 100
_MAX_DEPTH = 5
_MAX_SCOPES = 2000
_MAX_NOTES = 50
_MAX_NAME = 24
_NULLABLE = spellings("signal", "signals")


class Locator:
    """Finds the scopes of one body that are signals; `candidates`, `notes` and `recognised` are the result."""

    __slots__ = ("_scopes_left", "candidates", "notes", "recognised")

    def __init__(self) -> None:
        self.candidates: list[Scope] = []
        self.notes: list[Note] = []
        self.recognised = False
        self._scopes_left = _MAX_SCOPES

    def locate(self, body: object) -> None:
        """Look through a whole body: an object, or a list of objects."""
        if isinstance(body, dict):
            self.recognised = not body
            self._open(Scope(body), 0)
        elif isinstance(body, (list, tuple)):
            self.recognised = not any(isinstance(item, dict) for item in body[:MAX_SIGNALS])
            self._items(body, None, key=None, is_named=False, depth=0)
        else:
            self.recognised = True

    def note(self, path: tuple[object, ...], reason: str) -> None:
        """Remember why something was left out."""
        if len(self.notes) < _MAX_NOTES:
            self.notes.append(Note(pointer_of(path), reason))

    def refuses(self, scope: Scope) -> bool:
        """Tell whether a scope says that nothing was issued."""
        reason = refusal(scope)
        if reason is None:
            return False
        self.recognised = True
        self.note(scope.path, reason)
        return True

    def take(self, scope: Scope) -> bool:
        """Accept a scope as a signal."""
        self.recognised = True
        if len(self.candidates) < MAX_SIGNALS:
            self.candidates.append(scope)
        return True

    def _open(self, scope: Scope, depth: int) -> bool:
        """Search a root, a wrapper or an item; the answer tells whether the search is over."""
        if self.refuses(scope):
            return True
        shape = scope.shape
        is_own = "action" in shape and self._advises(scope)
        if is_own and scope.has_levels() and not self._has_container(scope):
            return self.take(scope)
        if not self._may_descend(depth):
            return is_own and self.take(scope)
        return (
            ("container" in shape and self._containers(scope, "container", depth))
            or ("listing" in shape and self._listings(scope, "listing", depth, is_named=True))
            or ("chosen" in shape and self._containers(scope, "chosen", depth))
            or (is_own and self.take(scope))
            or ("container" in shape and self._explicit_null(scope))
            or ("verdict" in shape and self._containers(scope, "verdict", depth))
            or ("verdict_listing" in shape and self._listings(scope, "verdict_listing", depth, is_named=True))
            or ("items" in shape and self._listings(scope, "items", depth, is_named=False))
            or ("wrapper" in shape and self._wrappers(scope, depth))
            or ("opinion" in shape and self._opinions(scope, depth))
            or self._keyed_by_name(scope.fields, scope, key=None, is_named=False, depth=depth)
        )

    def _advises(self, scope: Scope) -> bool:
        key, reason = own_action(scope)
        if key is not None:
            unlike = unlike_advice(scope, key)
            if unlike is None:
                return True
            reason = unlike
        elif not scope.has_text("action"):
            return False
        self.recognised = True
        self.note(scope.path, reason)
        return False

    def _may_descend(self, depth: int) -> bool:
        self._scopes_left -= 1
        return depth < _MAX_DEPTH and self._scopes_left > 0

    def _has_container(self, scope: Scope) -> bool:
        return any(isinstance(scope.fields[key], dict) for key in scope.shape.get("container", ()))

    def _explicit_null(self, scope: Scope) -> bool:
        key = next((key for key in scope.shape["container"] if key in _NULLABLE and scope.fields[key] is None), None)
        if key is None:
            return False
        self.recognised = True
        self.note((*scope.path, key), "is null: the host says that there is no signal")
        return True

    def _containers(self, scope: Scope, slot: str, depth: int) -> bool:
        for key in scope.shape.get(slot, ()):
            value = scope.fields[key]
            if value is None or value == {}:
                self.recognised = True
            elif isinstance(value, dict):
                inner = Scope(value, scope, step=(key,), is_named=True)
                if self._enclosed(inner, depth + 1, is_verdict=slot == "verdict"):
                    return True
        return False

    def _enclosed(self, scope: Scope, depth: int, *, is_verdict: bool) -> bool:
        """Search inside a container that names a signal: itself first, then what is nested in it."""
        if self.refuses(scope):
            return True
        if is_verdict and scope.parent is not None and is_position(scope.parent):
            self.note(scope.path, "advises on an open position or order, which is no new signal")
            return False
        if "action" in scope.shape and self._advises(scope):
            return self.take(scope)
        if not self._may_descend(depth):
            return False
        is_over = (
            self._containers(scope, "container", depth)
            or self._containers(scope, "verdict", depth)
            or self._wrappers(scope, depth)
            or self._opinions(scope, depth)
            or self._listings(scope, "listing", depth, is_named=True)
            or (not is_verdict and self._keyed_by_name(scope.fields, scope, key=None, is_named=True, depth=depth))
        )
        if not is_over and not scope.has_text("action"):
            self.note(scope.path, NO_VERB)
        return is_over

    def _wrappers(self, scope: Scope, depth: int) -> bool:
        for key in scope.shape.get("wrapper", ()):
            value = scope.fields[key]
            if isinstance(value, dict) and self._open(Scope(value, scope, step=(key,)), depth + 1):
                return True
        return False

    def _opinions(self, scope: Scope, depth: int) -> bool:
        """Search an analysis: it counts when it holds a verdict, or is one with levels or a confidence."""
        for key in scope.shape.get("opinion", ()):
            value = scope.fields[key]
            if isinstance(value, dict) and self._opinion(Scope(value, scope, step=(key,)), depth + 1):
                return True
        return False

    def _opinion(self, scope: Scope, depth: int) -> bool:
        if self.refuses(scope) or self._containers(scope, "verdict", depth):
            return True
        if self._containers_with_levels(scope, depth):
            return True
        if self._listings(scope, "verdict_listing", depth, is_named=True):
            return True
        key, _ = own_action(scope)
        is_advice = key is not None and unlike_advice(scope, key) is None and is_whole_opinion(scope, key)
        return is_advice and self.take(scope)

    def _containers_with_levels(self, scope: Scope, depth: int) -> bool:
        """Search the signals in an analysis only when they can be traded; a bare `signal` there is a component's."""
        is_whole = any(
            isinstance(value := scope.fields[key], dict) and is_whole_opinion(Scope(value, step=scope.step), key)
            for key in scope.shape.get("container", ())
        )
        return is_whole and self._containers(scope, "container", depth)

    def _listings(self, scope: Scope, slot: str, depth: int, *, is_named: bool) -> bool:
        is_over = False
        for key in scope.shape.get(slot, ()):
            value = scope.fields[key]
            if isinstance(value, (list, tuple)):
                self.recognised = self.recognised or not value
                is_over = self._items(value, scope, key=key, is_named=is_named, depth=depth + 1)
            elif isinstance(value, dict) and slot == "verdict_listing":
                is_over = self._keyed_by_name(value, scope, key=key, is_named=True, depth=depth + 1)
            if is_over:
                return True
        return False

    def _items(
        self, items: Sequence[object], parent: Scope | None, *, key: str | None, is_named: bool, depth: int
    ) -> bool:
        """Search the members of a list, each on its own, so that a bad one does not lose its neighbours."""
        before = len(self.candidates)
        for index, item in enumerate(items):
            if not isinstance(item, dict):
                continue
            step = (index,) if key is None else (key, index)
            if self._is_full():
                self.note(
                    (*(parent.path if parent else ()), *step), f"only {MAX_SIGNALS} signals of a body are recorded"
                )
                break
            self._scopes_left -= 1
            self._open(Scope(item, parent, step=step, is_item=True, is_named=is_named), depth)
        return len(self.candidates) > before

    def _keyed_by_name(
        self, fields: dict[object, object], parent: Scope, *, key: str | None, is_named: bool, depth: int
    ) -> bool:
        """Search objects that stand under the name of their instrument, or under any name when they have levels."""
        before = len(self.candidates)
        for name, value in fields.items():
            if not isinstance(value, dict) or not isinstance(name, str) or len(name) > _MAX_NAME:
                continue
            if depth >= _MAX_DEPTH or self._is_full():
                break
            if is_named or is_instrument(name):
                step = (name,) if key is None else (key, name)
                inner = Scope(value, parent, step=step, is_item=True, is_named=is_named, name=name)
                if inner.has_levels() or is_instrument(name):
                    self._scopes_left -= 1
                    self._open(inner, depth + 1)
        return len(self.candidates) > before

    def _is_full(self) -> bool:
        return len(self.candidates) >= MAX_SIGNALS or self._scopes_left <= 0
