"""Views that must not be edited are tracked where Flask keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from flask import Blueprint, Flask
from flask.views import MethodView

from stateful_engine.errors import ConfigurationError, NotInitializedError
from stateful_engine.tracking.decorators import is_tracked, track_signal_generation
from stateful_engine.tracking.functions import get_enhanced_integrator
from stateful_engine.tracking.instrument import instrument
from tests.factories import signal_data
from tests.recorded import recorded

if TYPE_CHECKING:
    from tests.conftest import AppMaker


def latest() -> dict[str, Any]:
    """A view of somebody else."""
    return signal_data()


def foreign(app: Flask) -> Flask:
    """`app` with views that nobody may edit: two on a blueprint, one class-based."""
    signals = Blueprint("signals", "foreign", url_prefix="/signals")
    signals.add_url_rule("/latest", "latest", latest)
    signals.add_url_rule("/top", "top", lambda: {"signals": [signal_data(), signal_data(symbol="ETHUSDT")]})
    app.register_blueprint(signals)

    class Status(MethodView):
        def get(self) -> dict[str, Any]:
            return {"ok": True}

    app.add_url_rule("/status", view_func=Status.as_view("status"))
    return app


def test_named_endpoints_are_tracked_and_the_others_are_not(app: Flask) -> None:
    foreign(app)
    with app.app_context():
        assert get_enhanced_integrator().instrument(app, ["signals.latest"]) == ["signals.latest"]
    client = app.test_client()
    assert client.get("/signals/latest").get_json()["signal_id"]
    assert "X-Query-ID" not in client.get("/signals/top").headers
    assert recorded(app).counts == (1, 1, 1)
    assert latest() == signal_data()


def test_it_works_from_a_factory_without_a_context(app: Flask) -> None:
    get_enhanced_integrator().instrument(foreign(app), ["signals.latest"])
    assert "X-Signal-ID" in app.test_client().get("/signals/latest").headers


def test_each_view_may_have_options_of_its_own(app: Flask) -> None:
    instrument(
        foreign(app),
        {"signals.latest": {"source_engine": "sharp"}, "signals.top": {"inject": True}},
        inject=False,
        source_engine="house",
    )
    client = app.test_client()
    assert "signal_id" not in client.get("/signals/latest").get_json()
    assert len(client.get("/signals/top").get_json()["signal_ids"]) == 2
    assert [row["source_engine"] for row in recorded(app).signals] == ["sharp", "house", "house"]


def test_a_view_that_is_decorated_and_instrumented_records_once(app: Flask) -> None:
    app.add_url_rule("/signal", "signal", track_signal_generation(latest))
    for _ in range(2):
        assert instrument(app, ["signal"]) == ["signal"]
    app.test_client().get("/signal")
    assert recorded(app).counts == (1, 1, 1)


def test_a_decorated_method_below_an_instrumented_view_records_once(app: Flask) -> None:
    class Signals(MethodView):
        @track_signal_generation
        def get(self) -> dict[str, Any]:
            return signal_data()

    app.add_url_rule("/signal", view_func=Signals.as_view("signal"))
    instrument(app, "signal")
    app.test_client().get("/signal")
    assert recorded(app).counts == (1, 1, 1)


def test_what_flask_reads_from_a_view_is_still_there(app: Flask) -> None:
    instrument(foreign(app), ["status"])
    view: Any = app.view_functions["status"]
    assert is_tracked(view)
    assert view.view_class.__name__ == "Status"
    assert app.test_client().get("/status").headers["X-Query-ID"] == recorded(app).queries[0]["query_id"]


def test_an_unknown_endpoint_is_refused_with_the_nearest_one_and_nothing_is_wrapped(app: Flask) -> None:
    foreign(app)
    with pytest.raises(ConfigurationError, match=r"'signals\.lates' .* did you mean 'signals\.latest'\?"):
        instrument(app, ["signals.top", "signals.lates"])
    assert not is_tracked(app.view_functions["signals.top"])
    with pytest.raises(ConfigurationError, match="flask routes"):
        instrument(app, ["zzzz"])


def test_options_that_cannot_be_meant_wrap_nothing(app: Flask) -> None:
    foreign(app)
    with pytest.raises(ConfigurationError):
        instrument(app, {"signals.top": {}, "signals.latest": {"dedupe_seconds": -1}})
    assert not is_tracked(app.view_functions["signals.top"])


def test_with_the_kill_switch_the_views_stay_what_they_are(make_app: AppMaker) -> None:
    app = foreign(make_app(STATEFUL_ENABLED=False))
    assert instrument(app, ["signals.latest"]) == []
    assert app.view_functions["signals.latest"] is latest


def test_an_app_without_the_engine_is_told_what_to_do() -> None:
    with pytest.raises(NotInitializedError, match="init_app"):
        instrument(foreign(Flask("without")), ["signals.latest"])
