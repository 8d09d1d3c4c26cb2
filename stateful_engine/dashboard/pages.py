"""The pages of the dashboard: the one list that its routes and its navigation are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask.typing import ResponseReturnValue

from stateful_engine.dashboard import overview

View = Callable[..., ResponseReturnValue]
"""Takes the Runtime, and the variables of its path by name; answers as any Flask view, mostly by `rendering.render`."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its endpoint, its path below the prefix as Flask writes it, its title, and the view that makes it.

    Pages with `nav` stand in the navigation, in the order of the list. What a view raises becomes an error page.
    """

    endpoint: str
    path: str
    title: str
    view: View
    nav: bool = True


PAGES: tuple[Page, ...] = (Page("overview", "/", "Overview", overview.view),)
