"""The host that fault tests run under gunicorn; its configuration comes from the environment."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, Response, jsonify

from stateful_engine import StatefulEngine, track_signal_generation

INSTANCE = "FAULTS_INSTANCE"


def create_app() -> Flask:
    """A host with a tracked view, a plain one, and its process id in every answer."""
    app = Flask("faults", instance_path=os.environ[INSTANCE])
    app.config.from_prefixed_env()
    StatefulEngine(app)

    @app.get("/signal")
    @track_signal_generation
    def signal() -> Any:
        return jsonify({"signal": {"symbol": "BTCUSDT", "action": "BUY", "confidence": 85.5, "entry_price": 45000.0}})

    @app.get("/plain")
    def plain() -> str:
        return "here"

    @app.after_request
    def sign(response: Response) -> Response:
        response.headers["X-Pid"] = str(os.getpid())
        return response

    return app
