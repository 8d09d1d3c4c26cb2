"""What recording adds to a request: a bare view, ours, OpenTelemetry, PostHog and a synchronous ORM, side by side.

    python benchmarks/overhead.py [--rounds 11] [--requests 3000] [--rate 0]

Each contestant is a process with the same Flask app; it is asked for requests one after the other, or at a fixed
`--rate`, round by round. Its background work runs while its requests do; between rounds it is let finish. At low rates
(`--rate 200`) a processor sleeps between two requests, so that everything, the bare view too, takes several times as
long.
OpenTelemetry and PostHog (`pip install -e .[bench]`) send to a server on loopback. Times are of the WSGI call, in
microseconds.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import common
from flask import Flask, jsonify, request
from werkzeug.test import EnvironBuilder

PATH = "/api/gpts/signal?symbol=BTCUSDT&tf=1H"
AGENT = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; ChatGPT-User/1.0"

Flush = Callable[[], object]


def engine_of(options: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """What makes the signals: a constant, or with `view: computed` the rules of the demo host over 240 candles."""
    if options.get("view") != "computed":
        return lambda: common.BODY
    from stateful_engine.demo import strategy
    from stateful_engine.demo.candles import CandleStore

    series = CandleStore().series("BTCUSDT", "1H")
    return lambda: {"status": "success", "signal": strategy.analyse(series).signal()}


def bare(options: dict[str, Any]) -> tuple[Flask, Flush]:
    """The host as it is without any recording."""
    app, generate = Flask("host"), engine_of(options)

    @app.get("/api/gpts/signal")
    def signal() -> Any:
        return jsonify(generate())

    return app, lambda: None


def ours(options: dict[str, Any]) -> tuple[Flask, Flush]:
    """The host with one line and one decorator."""
    from stateful_engine import StatefulEngine, track_signal_generation

    engine = StatefulEngine()
    app, generate = Flask("host"), engine_of(options)
    app.config["STATEFUL_DATABASE_URL"] = options["database"]
    app.config["STATEFUL_SPOOL_DIR"] = options["folder"] + "/spool"

    @app.get("/api/gpts/signal")
    @track_signal_generation(endpoint_name="/api/gpts/signal")
    def signal() -> Any:
        return jsonify(generate())

    engine.init_app(app)
    return app, lambda: engine.flush(60.0)


def opentelemetry(options: dict[str, Any]) -> tuple[Flask, Flush]:
    """The host with OpenTelemetry's Flask instrumentation, exported in batches."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=options["backend"] + "/v1/traces")))
    app, _ = bare(options)
    FlaskInstrumentor().instrument_app(app, tracer_provider=provider)
    return app, lambda: provider.force_flush(60_000)


def posthog(options: dict[str, Any]) -> tuple[Flask, Flush]:
    """The host with one PostHog event per answer."""
    from posthog import Posthog

    client = Posthog("phc_benchmark", host=options["backend"], max_queue_size=100_000)
    app, _ = bare(options)

    @app.after_request
    def capture(response: Any) -> Any:
        client.capture(
            "signal_generated",
            distinct_id="anonymous",
            properties={
                "endpoint": request.path,
                "params": request.args.to_dict(),
                "status": response.status_code,
                "body": response.get_json(),
            },
        )
        return response

    return app, client.flush


def synchronous_orm(options: dict[str, Any]) -> tuple[Flask, Flush]:
    """The host with a session, three rows and a commit per request."""
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    from stateful_engine import GPTQueryLog, SignalHistory, UserInteraction
    from stateful_engine.domain import clock, identifiers

    url = options["database"].replace("postgresql://", "postgresql+psycopg2://")
    database = create_engine(url).execution_options(schema_translate_map={None: "stateful_engine"})
    app, _ = bare(options)

    @app.after_request
    def store(response: Any) -> Any:
        body, now = response.get_json(), clock.now()
        signal, query_id, signal_id = body["signal"], identifiers.query_id(), identifiers.signal_id()
        with Session(database) as session:
            session.add(
                GPTQueryLog(
                    query_id=query_id,
                    endpoint=request.path,
                    method=request.method,
                    request_params=request.args.to_dict(),
                    response_status=response.status_code,
                    response_data=body,
                    is_successful=True,
                    created_at=now,
                )
            )
            session.add(
                SignalHistory(
                    signal_id=signal_id,
                    query_id=query_id,
                    symbol=signal.get("symbol") or body["symbol"],
                    timeframe=signal.get("timeframe") or body["timeframe"],
                    action=signal["action"],
                    confidence=signal["confidence"],
                    entry_price=signal["entry_price"],
                    take_profit=first_target(signal["take_profit"]),
                    stop_loss=signal["stop_loss"],
                    ai_reasoning=signal.get("reasoning") or signal.get("ai_reasoning"),
                    smc_analysis=signal.get("smc_analysis") or body.get("smc_analysis"),
                    technical_indicators=signal.get("technical_indicators") or body.get("technical_indicators"),
                    source="API",
                    created_at=now,
                    updated_at=now,
                )
            )
            session.add(
                UserInteraction(
                    interaction_id=identifiers.interaction_id(),
                    signal_id=signal_id,
                    interaction_type="SIGNAL_GENERATED",
                    interaction_source="API",
                    created_at=now,
                )
            )
            session.commit()
        return response

    return app, lambda: None


def first_target(targets: Any) -> Any:
    """The first of several targets, or the only one."""
    return targets[0] if isinstance(targets, list) else targets


CONTESTANTS = {
    "bare view": bare,
    "stateful_engine": ours,
    "OpenTelemetry": opentelemetry,
    "PostHog": posthog,
    "synchronous ORM": synchronous_orm,
}
NEEDS = {"OpenTelemetry": "opentelemetry.instrumentation.flask", "PostHog": "posthog"}


def be(name: str, options: dict[str, Any]) -> None:
    """The life of a contestant: answer each question with the times of so many requests at such a rate."""
    app, flush = CONTESTANTS[name](options)
    environ = EnvironBuilder(PATH, headers={"User-Agent": AGENT}).get_environ()
    _run(app, environ, count=200, interval=0.001)
    flush()
    common.answer(ready=True)
    for question in common.questions():
        if question.get("profile"):
            _profile(app, environ)
            common.answer()
            continue
        before = time.process_time()
        times = _run(app, environ, **question)
        flush()
        common.answer(times=times, cpu=(time.process_time() - before) / question["count"] * 1e6)


def _run(app: Flask, environ: dict[str, Any], *, count: int, interval: float) -> list[float]:
    """Microseconds of `count` requests that begin `interval` seconds apart, or at once when they are late."""
    times = []
    begin = time.perf_counter()
    for number in range(count):
        early = begin + number * interval - time.perf_counter()
        if early > 0:
            time.sleep(early)
        mine = environ | {"wsgi.input": io.BytesIO()}
        start = time.perf_counter_ns()
        answer = app.wsgi_app(mine, lambda *_: None)
        b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()
        times.append((time.perf_counter_ns() - start) / 1000)
    return times


def _profile(app: Flask, environ: dict[str, Any]) -> None:
    """Where the time of the request thread goes, to standard error."""
    import cProfile
    import pstats

    profile = cProfile.Profile()
    profile.runcall(_run, app, environ, count=2000, interval=0)
    pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats("stateful_engine|built-in", 30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--be", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=0.0, help="requests per second; 0: one after the other")
    parser.add_argument("--profile", action="store_true", help="also say where our time goes")
    arguments = parser.parse_args()
    if arguments.be:
        be(arguments.be[0], json.loads(arguments.be[1]))
        return
    with tempfile.TemporaryDirectory() as folder, common.stub_backend() as backend, common.migrated_postgresql() as url:
        compare(arguments, {"folder": folder, "backend": backend, "database": url})


def compare(arguments: argparse.Namespace, options: dict[str, Any]) -> None:
    """Run the rounds and print the table; the last line is our added p50 as a share of OpenTelemetry's."""
    names = [name for name in CONTESTANTS if name not in NEEDS or _installed(NEEDS[name])]
    runners = {name: common.Contestant(__file__, name, **options) for name in names}
    question = {"count": arguments.requests, "interval": 1 / arguments.rate if arguments.rate else 0.0}
    rounds = [{name: runners[name].ask(**question) for name in names} for _ in range(arguments.rounds)]
    if arguments.profile:
        runners["stateful_engine"].ask(profile=True)
    for runner in runners.values():
        runner.close()
    added = _print_table(rounds, names)
    if "OpenTelemetry" not in names:
        raise SystemExit("OpenTelemetry is not installed, so there is no ratio: pip install -e .[bench]")
    p50 = added["stateful_engine"][0] / added["OpenTelemetry"][0]
    p99 = added["stateful_engine"][1] / added["OpenTelemetry"][1]
    common.verdict("added p99, share of OpenTelemetry's", p99, limit=0.5, at_most=True)
    common.verdict("added p50, share of OpenTelemetry's", p50, limit=0.25, at_most=True)


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _print_table(rounds: list[dict[str, Any]], names: list[str]) -> dict[str, tuple[float, float]]:
    """Medians over the rounds; returns what each contestant adds to the bare view, at p50 and p99."""
    print(f"{'':18}{'p50 us':>9}{'p99 us':>9}{'added p50':>11}{'added p99':>11}{'CPU us':>9}{'added CPU':>11}")
    added: dict[str, tuple[float, float]] = {}
    for name in names:
        p50, p99 = (_median(rounds, name, share) for share in (0.5, 0.99))
        more = [
            common.median([_at(each, name, share) - _at(each, "bare view", share) for each in rounds])
            for share in (0.5, 0.99)
        ]
        cpu = common.median([each[name]["cpu"] for each in rounds])
        more_cpu = common.median([each[name]["cpu"] - each["bare view"]["cpu"] for each in rounds])
        added[name] = (more[0], more[1])
        print(f"{name:18}{p50:9.1f}{p99:9.1f}{more[0]:11.1f}{more[1]:11.1f}{cpu:9.1f}{more_cpu:11.1f}")
    return added


def _at(each: dict[str, Any], name: str, share: float) -> float:
    return common.percentile(each[name]["times"], share)


def _median(rounds: list[dict[str, Any]], name: str, share: float) -> float:
    return common.median([_at(each, name, share) for each in rounds])


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    os.environ.setdefault("OTEL_SERVICE_NAME", "benchmark")
    main()
