"""The experiments: what may be concluded, before the figures that it rests on.

`Experiments()` are those of the app, as in the API: they know its candles, by which open signals are valued.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from flask.typing import ResponseReturnValue

from stateful_engine.dashboard.rendering import render
from stateful_engine.services.experiments import Experiments

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

MOST = 50
JUDGED = 10
"""A verdict reads every signal of its experiment, so the list gives it for the newest ones; others have it inside."""


def view(runtime: Runtime) -> ResponseReturnValue:
    """The newest experiments, each with its verdict."""
    runtime.recorder.catch_up()
    experiments = Experiments()
    found = experiments.recent(MOST)
    judged = [one["name"] for one in found[:JUDGED] if one["started_at"] is not None]
    verdicts = {name: experiments.results(name)["verdict"] for name in judged}
    return render("experiments.html", experiments=found, verdicts=verdicts, most=MOST)


def view_one(runtime: Runtime, name: str) -> ResponseReturnValue:
    """One experiment: the verdict, what is missing, both arms with every metric, and its design."""
    runtime.recorder.catch_up()
    experiments = Experiments()
    design, results = experiments.get(name), experiments.results(name)
    return render(
        "experiment.html",
        design=design,
        results=results,
        verdict=results["verdict"],
        arms=results["arms"],
        raw=json.dumps({"design": design, "results": results}, indent=2, ensure_ascii=False),
    )
