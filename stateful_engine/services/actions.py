"""`AnalyticsLogger`: what people did with the bot."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from stateful_engine.domain import clock
from stateful_engine.errors import InvalidInputError
from stateful_engine.services import inputs
from stateful_engine.services.binding import Bound
from stateful_engine.storage import actions
from stateful_engine.storage.pages import Page


class AnalyticsLogger(Bound):
    """Keeps the actions of people: commands, button presses, requests."""

    def log_action(self, user_id: Any, chat_id: Any, action_type: str, action_data: Any = None) -> int:
        """Record an action; returns its id."""
        kind = inputs.text(action_type)
        if kind is None:
            raise InvalidInputError("action_type is missing; send what was done, for example button_click")
        values = {
            "user_id": self._person(user_id),
            "chat_id": self._anybody(chat_id),
            "action_type": kind,
            "action_data": self._database.people.in_json(
                inputs.mapping(action_data, "action_data", secret_keys=self._database.secret_keys)
            )
            or None,
            "timestamp": clock.now(),
        }
        with self._database.transaction() as session:
            return actions.insert(session, values)

    def get_user_stats(self, user_id: Any, days: int = 30) -> dict[str, int]:
        """How often a person did what, the most frequent first: `{action_type: count}`."""
        window = inputs.days(days)
        since = clock.now() - timedelta(days=window) if window else None
        with self._database.reading() as session:
            return dict(actions.counts(session, since, user_id=self._person(user_id)))

    def page(
        self, limit: int = 50, cursor: str | None = None, *, days: int = 0, user_id: Any = None, action_type: Any = None
    ) -> Page:
        """One page of actions, newest first; `days=0` looks at all of them."""
        since = inputs.window_start(inputs.days(days))
        with self._database.reading() as session:
            return actions.page(
                session,
                cursor,
                inputs.limit(limit, most=100),
                since=since,
                user_id=self._anybody(user_id),
                action_type=inputs.text(action_type),
            )
