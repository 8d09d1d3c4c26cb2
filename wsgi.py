"""The demo host: a small Flask app that answers with trading signals and remembers them with stateful_engine.

    flask --app wsgi db upgrade
    flask --app wsgi demo-traffic
    flask --app wsgi run

Settings come from the environment, for example `FLASK_STATEFUL_CANDLES=data/candles`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, current_app, jsonify, redirect, request
from flask.typing import ResponseReturnValue
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

from stateful_engine import StatefulEngine, track_signal_generation
from stateful_engine.demo import strategy
from stateful_engine.demo.candles import CandleStore, UnknownMarketError
from stateful_engine.demo.commands import demo_traffic, demo_urls

db = SQLAlchemy()
migrate = Migrate()
engine = StatefulEngine(db=db)
bp = Blueprint("signals", __name__, url_prefix="/api/gpts")


def create_app(config: dict[str, Any] | None = None) -> Flask:
    """The app factory; `config` overrides the environment."""
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///host.sqlite"
    app.config.from_prefixed_env()
    app.config.update(config or {})

    db.init_app(app)
    migrate.init_app(app, db, directory=str(Path(__file__).with_name("migrations")))
    app.extensions["candles"] = store = CandleStore(app.config.get("STATEFUL_CANDLES"))
    app.config.setdefault("STATEFUL_CANDLES", store.fetch)
    engine.init_app(app)

    app.register_blueprint(bp)
    app.add_url_rule("/", view_func=home)
    app.cli.add_command(demo_traffic)
    app.cli.add_command(demo_urls)
    return app


def home() -> ResponseReturnValue:
    """Whoever opens the bare address sees the dashboard, or a signal where there is none."""
    settings = engine.runtime_for(current_app).settings
    return redirect(f"{settings.dashboard_prefix}/" if settings.dashboard else "/api/gpts/signal")


@bp.get("/signal")
@track_signal_generation(endpoint_name="/api/gpts/signal", source_engine="trend_rules")
def trend_signal() -> ResponseReturnValue:
    """A trade idea for `?symbol=BTCUSDT&tf=1H`."""
    series = candles().series(*asked_market(request.args))
    return jsonify(status="success", signal=strategy.analyse(series).signal(), data_source=series.origin)


@bp.post("/sinyal/tajam")
@track_signal_generation(endpoint_name="/api/gpts/sinyal/tajam", source_engine="sharp_rules")
def sharp_signal() -> ResponseReturnValue:
    """A sharp signal (Indonesian: *sinyal tajam*) for `{"symbol": "BTCUSDT", "tf": "1H"}`, or the reason for none."""
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        return jsonify(status="error", message='send a JSON object, for example {"symbol": "BTCUSDT", "tf": "1H"}'), 400
    symbol, timeframe = asked_market(body)
    answer = strategy.sharp_signal(candles(), symbol, timeframe)
    return jsonify(answer | {"data_source": candles().series(symbol, timeframe, count=1).origin})


@bp.errorhandler(UnknownMarketError)
@bp.errorhandler(strategy.TooFewCandlesError)
def refuse(error: Exception) -> ResponseReturnValue:
    """What a caller asked for cannot be answered; the message says what can."""
    return jsonify(status="error", message=str(error)), 400


def candles() -> CandleStore:
    """The candles of the current app."""
    store: CandleStore = current_app.extensions["candles"]
    return store


def asked_market(asked: Any) -> tuple[str, str]:
    """Symbol and timeframe that a caller asks for; the first market when it names none."""
    symbol, timeframes = next(iter(candles().markets.items()))
    timeframe = asked.get("tf") or asked.get("timeframe") or ("1H" if "1H" in timeframes else timeframes[0])
    return str(asked.get("symbol") or symbol), str(timeframe)


app = create_app()
