from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from stateful_engine.api.operations import OPERATIONS
from stateful_engine.errors import ConflictError, StorageUnavailableError
from stateful_engine.services import idempotency
from stateful_engine.storage.idempotency import Name
from tests.api.calls import PREFIX, assert_refused, good_body, place, track
from tests.factories import signal_data

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from stateful_engine.extension import Runtime
    from tests.factories import FakeClock

WRITES = [operation for operation in OPERATIONS if not operation.read_only]
HEADER = {"Idempotency-Key": "3f2c-11"}
TRACK = f"{PREFIX}/track-signal"


def count(client: FlaskClient) -> int:
    return len(client.get(f"{PREFIX}/signal-history?days=0").json["signals"])


@pytest.mark.parametrize("operation", [pytest.param(operation, id=operation.name) for operation in WRITES])
@pytest.mark.parametrize("by", ["header", "client_ref"])
def test_a_call_that_is_repeated_gets_the_first_answer(shared_client: FlaskClient, operation: Any, by: str) -> None:
    url = place(shared_client, operation)
    name = f"{by}-{operation.name}"
    body = {**good_body(operation), **({"client_ref": name} if by == "client_ref" else {})}
    headers = {"Idempotency-Key": name} if by == "header" else {}

    first, again = (shared_client.open(url, method=operation.method, json=body, headers=headers) for _ in range(2))

    assert first.status_code == again.status_code == 200
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    stamps = ("server_time", "processing_time_ms", "request_id", *operation.shown_once)
    assert all(again.json[name] == "[redacted]" != first.json[name] for name in operation.shown_once)
    one, other = ({key: value for key, value in answer.json.items() if key not in stamps} for answer in (first, again))
    assert one == other
    for header in ("X-Signal-ID", "X-Query-ID"):
        assert first.headers.get(header) == again.headers.get(header)


def test_a_repeated_signal_is_recorded_once(client: FlaskClient) -> None:
    ids = {client.post(TRACK, json={**signal_data(), "client_ref": "a"}).json["signal_id"] for _ in range(3)}

    assert len(ids) == 1
    assert count(client) == 1
    assert client.get(f"{PREFIX}/signal/{ids.pop()}").json["signal"]["client_ref"] == "a"


def test_the_order_of_fields_makes_no_other_call(client: FlaskClient) -> None:
    body = signal_data()
    turned = dict(reversed(body.items()))

    assert client.post(TRACK, json=body, headers=HEADER).status_code == 200
    assert client.post(TRACK, json=turned, headers=HEADER).headers["Idempotency-Replayed"] == "true"


def test_a_name_that_is_used_for_another_call_is_a_conflict(client: FlaskClient) -> None:
    client.post(TRACK, json=signal_data(), headers=HEADER)

    answer = client.post(TRACK, json=signal_data(confidence=1), headers=HEADER)

    assert_refused(answer, 409, "IDEMPOTENCY_MISMATCH")
    assert count(client) == 1


def test_a_name_belongs_to_one_operation_on_one_signal(client: FlaskClient) -> None:
    one, other = track(client), track(client)
    body = {"interaction_type": "CLICK"}

    answers = [client.post(f"{PREFIX}/signal/{id_}/interaction", json=body, headers=HEADER) for id_ in (one, other)]
    tracked = client.post(TRACK, json=signal_data(), headers=HEADER)

    assert [answer.status_code for answer in (*answers, tracked)] == [200, 200, 200]
    assert len({answer.json["interaction_id"] for answer in answers}) == 2


def test_a_call_that_failed_may_be_made_again_under_its_name(client: FlaskClient) -> None:
    signal_id = track(client)
    client.post(f"{PREFIX}/signal/{signal_id}/outcome", json={"outcome": "WIN"})
    body = {"outcome": "LOSS", "client_ref": "a"}

    refused = [client.post(f"{PREFIX}/signal/{signal_id}/outcome", json=body) for _ in range(2)]

    for answer in refused:
        assert_refused(answer, 409, "CONFLICT")


def test_simultaneous_calls_of_one_name_act_once(app: Flask, client: FlaskClient) -> None:
    answers: list[Any] = []
    start = threading.Barrier(5)

    def call() -> None:
        start.wait()
        answers.append(app.test_client().post(TRACK, json=signal_data(), headers=HEADER))

    threads = [threading.Thread(target=call) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json["signal_id"] for answer in answers}) == 1
    assert count(client) == 1


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a\tb", "schlüssel"])
def test_a_name_that_no_header_should_hold_is_refused(client: FlaskClient, key: str) -> None:
    answer = client.post(TRACK, json=signal_data(), headers={"Idempotency-Key": key})

    assert_refused(answer, 422, "VALIDATION_ERROR")
    assert count(client) == 0


def test_reads_have_no_names(client: FlaskClient) -> None:
    assert client.get(f"{PREFIX}/signal-history", headers=HEADER).headers.get("Idempotency-Replayed") is None


def test_while_the_database_is_away_records_are_taken_and_effects_are_not(
    client: FlaskClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal_id = track(client)

    def away(*_: Any) -> Any:
        raise StorageUnavailableError("the database is away; send it again later")

    monkeypatch.setattr(type(runtime.database), "transaction", away)
    monkeypatch.setattr(runtime.recorder, "record_durably", lambda *_, **__: False)

    assert client.post(TRACK, json=signal_data(), headers=HEADER).status_code == 202
    effect = client.post(f"{PREFIX}/signal/{signal_id}/execute", json={"execution_price": 1}, headers=HEADER)
    assert_refused(effect, 503, "STORAGE_UNAVAILABLE")


@pytest.fixture
def memory(runtime: Runtime) -> idempotency.Idempotency:
    return idempotency.Idempotency(runtime.database)


NAME = Name("somebody", "trackSignal", "a")


def test_a_call_under_way_is_waited_for_and_then_reported(
    memory: idempotency.Idempotency, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.01)
    assert memory.begin(NAME, "f") is None

    with pytest.raises(ConflictError) as raised:
        memory.begin(NAME, "f")

    assert raised.value.code == "IDEMPOTENCY_IN_PROGRESS"
    assert raised.value.retry_after == 1


def test_a_call_whose_process_died_may_be_made_again(memory: idempotency.Idempotency, clock: FakeClock) -> None:
    assert memory.begin(NAME, "f") is None
    clock.advance(seconds=61)

    assert memory.begin(NAME, "f") is None
    memory.finish(NAME, 200, {"body": {"a": 1}})
    kept = memory.begin(NAME, "f")
    assert kept is not None
    assert (kept.status, kept.body) == (200, {"body": {"a": 1}})


def test_names_are_forgotten_after_a_day(
    memory: idempotency.Idempotency, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.begin(NAME, "f")
    memory.finish(NAME, 200, {})
    monkeypatch.setattr(idempotency, "PRUNE_EVERY", 0.0)

    clock.advance(hours=23)
    assert memory.begin(NAME, "f") is not None
    clock.advance(hours=2)
    assert memory.begin(NAME, "another call") is None
