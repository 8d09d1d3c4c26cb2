"""The pages of the dashboard: the one list that its routes and its navigation are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask.typing import ResponseReturnValue

from stateful_engine.dashboard import (
    conversations,
    downloads,
    engagement,
    experiments,
    overview,
    queries,
    recommendations,
    scanner,
    signals,
    system,
)
from stateful_engine.domain.vocabulary import Scope

View = Callable[..., ResponseReturnValue]
"""Takes the Runtime, and the variables of its path by name; answers as any Flask view, mostly by `rendering.render`."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its endpoint, its path below the prefix as Flask writes it, its title, and the view that makes it.

    Pages with `nav` stand in the navigation, in the order of the list, for visitors who have its `scope`. What a view
    raises becomes an error page.
    """

    endpoint: str
    path: str
    title: str
    view: View
    nav: bool = True
    scope: Scope = Scope.ANALYTICS_READ


TALKS = Scope.CONVERSATIONS_READ

PAGES: tuple[Page, ...] = (
    Page("overview", "/", "Overview", overview.view),
    Page("signals", "/signals", "Signals", signals.view),
    Page("signal", "/signals/<signal_id>", "Signal", signals.view_one, nav=False),
    Page("queries", "/queries", "Queries", queries.view, scope=Scope.QUERIES_READ),
    Page("conversations", "/conversations", "Conversations", conversations.view, scope=TALKS),
    Page(
        "conversation",
        "/conversations/<conversation_id>",
        "Conversation",
        conversations.view_one,
        nav=False,
        scope=TALKS,
    ),
    Page("recommendations", "/recommendations", "Recommendations", recommendations.view, scope=TALKS),
    Page("scanner", "/scanner", "Scanner", scanner.view),
    Page("engagement", "/engagement", "Engagement", engagement.view, scope=Scope.INTERACTIONS_READ),
    Page("experiments", "/experiments", "Experiments", experiments.view),
    Page("experiment", "/experiments/<name>", "Experiment", experiments.view_one, nav=False),
    Page("system", "/system", "System", system.view),
    Page("downloads", "/downloads", "Downloads", downloads.view),
    Page("download", "/downloads/<name>.csv", "Download", downloads.file, nav=False),
)
