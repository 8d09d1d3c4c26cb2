"""`AnalyticsLogger`: what people did with the bot."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from stateful_engine.domain import clock, identifiers
from stateful_engine.errors import InvalidInputError
from stateful_engine.recording.records import Rows
from stateful_engine.services import inputs
from stateful_engine.services.binding import Bound
from stateful_engine.services.state_manager import Saved
from stateful_engine.storage import actions
from stateful_engine.storage.actions import UserAction
from stateful_engine.storage.pages import Page


class AnalyticsLogger(Bound):
    """Keeps the actions of people: commands, button presses, requests."""

    def log_action(self, user_id: Any, chat_id: Any, action_type: str, action_data: Any = None) -> str:
        """Record an action; returns its `action_id`.

        Inside an app it is kept on this machine's disk while the database is away, and stored later. A service that
        stands alone raises `StorageUnavailableError` then.
        """
        return self.save_action(user_id, chat_id, action_type, action_data).id

    def save_action(
        self, user_id: Any, chat_id: Any, action_type: Any, action_data: Any = None, *, durable: bool = True
    ) -> Saved:
        """As `log_action`, telling also whether the action still waits for the database; `durable=False` never waits
        for it.
        """
        row = self._row(user_id, chat_id, action_type, action_data)
        if self._own is None:
            rows = Rows({actions.TABLE: [row]})
            return Saved(row["action_id"], self._runtime.state_manager.record_rows(rows, durable=durable))
        with self._own.transaction() as session:
            actions.insert(session, row)
        return Saved(row["action_id"], pending=False)

    def _row(self, user_id: Any, chat_id: Any, action_type: Any, action_data: Any) -> dict[str, Any]:
        kind = inputs.text(action_type)
        if kind is None:
            raise InvalidInputError("action_type is missing; send what was done, for example button_click")
        data = inputs.mapping(action_data, "action_data", secret_keys=self._database.secret_keys)
        return {
            "action_id": identifiers.action_id(),
            "user_id": self._person(user_id),
            "chat_id": self._anybody(chat_id),
            "action_type": kind,
            "action_data": self._database.people.in_json(data) or None,
            "timestamp": clock.epoch_us(),
        }

    def get_user_stats(self, user_id: Any, days: int = 30) -> dict[str, int]:
        """How often a person did what, the most frequent first: `{action_type: count}`."""
        window = inputs.days(days)
        since = clock.now() - timedelta(days=window) if window else None
        self._catch_up()
        with self._database.reading() as session:
            return dict(actions.counts(session, since, user_id=self._person(user_id)))

    def page(
        self, limit: int = 50, cursor: str | None = None, *, days: int = 0, user_id: Any = None, action_type: Any = None
    ) -> Page:
        """One page of actions, newest first; `days=0` looks at all of them."""
        person, kind = self._anybody(user_id), inputs.text(action_type)
        self._catch_up()
        return self._page(UserAction, limit, cursor, days, user_id=person, action_type=kind)
