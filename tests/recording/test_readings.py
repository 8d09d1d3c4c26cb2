"""What was read of a body is for every thread that asks, and for as many questions as come."""

from __future__ import annotations

import threading

from stateful_engine.domain.recent import Recent
from stateful_engine.recording.readings import KEPT, MAX_KEPT_BYTES, Reading
from tests.factories import signal_data


class Forgetful(Recent[bytes, object]):
    """As though another thread had made room between any two steps."""

    def keep(self, question: bytes, answer: object) -> None:
        super().keep(question, answer)
        self.clear()


def test_an_answer_that_is_forgotten_at_once_is_still_given() -> None:
    reading = Reading(signal_data())
    reading._signals = Forgetful(KEPT)  # type: ignore[assignment]
    found = reading.signal({"symbol": "BTCUSDT"}, None)
    assert found is not None
    assert found.action == "BUY"


def test_many_threads_may_ask_many_questions() -> None:
    reading, wrong = Reading(signal_data()), []

    def ask(worker: int) -> None:
        for number in range(10 * KEPT):
            if reading.signal({"worker": worker, "number": number}, None) is None:
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_long_question_is_not_kept() -> None:
    reading = Reading(signal_data())
    for number in range(3):
        assert reading.signal({"note": f"{number}" * MAX_KEPT_BYTES}, None) is not None
    assert not reading._signals
