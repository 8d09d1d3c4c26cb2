"""Makes the signal row of a call that was recorded with nothing but the answer of its view.

That an answer holds one signal is known in the request thread, since the client is given its id; what the signal says
is read here, in the writer, from the bytes that the client got. The ids come along, so a replay makes the same rows.
"""

from __future__ import annotations

from dataclasses import replace

from stateful_engine.domain.vocabulary import InteractionType
from stateful_engine.recording.columns import interaction_row, signal_row
from stateful_engine.recording.readings import Reading
from stateful_engine.recording.records import Call
from stateful_engine.recording.stamping import Stamp


def folded(call: Call, reading: Reading) -> Call:
    """`call` with the rows of the signal that its body, `reading`, holds; as it is when they were made already.

    Raises `ValueError` when the body holds no signal, which only another version of the rules can cause.
    """
    given, query = call.unfolded, call.query
    if given is None:
        return call
    if query is None or call.body is None:
        raise ValueError("the signal of this call cannot be read without its query and its body")
    signal = reading.signal(query["request_params"], given.get("mapping"))
    if signal is None:
        raise ValueError("the rules of this version find no signal in this body, although its id was given out")
    stamp = Stamp(*given["stamp"]) if given.get("stamp") else None
    context = {**query, **given, "query_id": call.query_id, "experiment": None, "variant": None, "stamp": stamp}
    row = signal_row(given["signal_id"], signal, context, created_us=call.created_us)
    generated = interaction_row(
        given["interaction_id"],
        given["signal_id"],
        InteractionType.SIGNAL_GENERATED.value,
        given["interaction_source"],
        created_us=call.created_us,
        data={"endpoint": query["endpoint"]},
        user_agent=query["user_agent"],
        ip_address=query["ip_address"],
    )
    said = {"ai_model_used": signal.ai_model, "confidence_score": signal.confidence}
    return replace(call, query={**query, **said}, signals=[row], interactions=[generated], unfolded=None)
