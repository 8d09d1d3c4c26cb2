"""The official SDK's client against our MCP server: over HTTP, over standard input and output, in every mode it has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from werkzeug.serving import make_server

from stateful_engine.services.api_keys import ApiKeys
from tests.api.calls import PREFIX, track
from tests.factories import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from flask import Flask

    Connect = Callable[..., Any]

MODES = ("auto", "legacy", "2026-07-28")

HOST = """
import os
from flask import Flask
from stateful_engine import StatefulEngine

app = Flask("host", instance_path=os.environ["HOST_INSTANCE"])
app.config.from_prefixed_env()
StatefulEngine(app)

@app.teardown_request
def chatter(_):
    print("a host that prints")
"""


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Which database stands behind the door makes no difference here."""
    return sqlite_url


@pytest.fixture
def host(make_app: Callable[..., Flask]) -> Flask:
    """An app as it runs in production, with one signal."""
    app = make_app(TESTING=False)
    app.testing = True
    track(app.test_client(), symbol="BTCUSDT", action="BUY")
    app.testing = False
    return app


@pytest.fixture
def address(host: Flask) -> Iterator[str]:
    """Where `host` listens."""
    server = make_server("127.0.0.1", 0, host, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}{PREFIX}/mcp"
    server.shutdown()
    thread.join()
    server.server_close()


def key_of(app: Flask, *scopes: str) -> str:
    return ApiKeys(app.extensions["stateful_engine"].database).create("mcp", scopes).text


@asynccontextmanager
async def by_http(url: str, key: str, mode: str) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


@asynccontextmanager
async def by_lines(folder: Path, database_url: str, mode: str, *options: str) -> AsyncIterator[Client]:
    (folder / "host_app.py").write_text(HOST)
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "flask", "--app", "host_app", "stateful", "mcp", *options],
        env={
            "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}",
            "HOST_INSTANCE": str(folder / "instance"),
            "FLASK_STATEFUL_DATABASE_URL": database_url,
        },
        cwd=str(folder),
    )
    with (folder / "stderr.txt").open("w") as errors:
        async with Client(stdio_client(server, errlog=errors), mode=mode) as client:
            yield client


async def reads(client: Client) -> None:
    """What a client that may read finds."""
    listed = await client.list_tools()
    names = {tool.name for tool in listed.tools}
    assert {"search", "fetch", "getSignalHistory", "getSignalAnalytics"} <= names
    assert not {tool.name for tool in listed.tools if tool.annotations and not tool.annotations.read_only_hint}

    found = await client.call_tool("search", {"query": "btcusdt"})
    (hit,) = found.structured_content["results"]
    fetched = await client.call_tool("fetch", {"id": hit["id"]})
    assert "BUY BTCUSDT" in fetched.structured_content["text"]
    page = await client.call_tool("getSignalHistory", {"limit": 5})
    assert page.structured_content["total_returned"] == 1
    report = await client.call_tool("getAnalyticsSummary", {})
    assert report.structured_content["analytics"]["signals"]["weekly"]["total_signals"] == 1

    mistaken = await client.call_tool("getSignal", {"signal_id": "sig_000000000000_1600000000"})
    assert mistaken.is_error
    assert "SIGNAL_NOT_FOUND" in mistaken.content[0].text
    with pytest.raises(MCPError, match="there is no tool nope"):
        await client.call_tool("nope", {})


async def writes(client: Client) -> None:
    """What a client that may write does."""
    made = await client.call_tool("trackSignal", {"symbol": "ETHUSDT", "action": "SELL", "entry_price": 3000.0})
    signal_id = made.structured_content["signal_id"]
    await client.call_tool("executeSignal", {"signal_id": signal_id, "execution_price": 3001.0})
    shown = await client.call_tool("getSignal", {"signal_id": signal_id})
    assert shown.structured_content["signal"]["is_executed"] is True


@pytest.mark.parametrize("mode", MODES)
def test_the_client_lists_and_calls_by_http(host: Flask, address: str, mode: str) -> None:
    async def talk() -> None:
        async with by_http(address, key_of(host, "signals:read", "analytics:read"), mode) as client:
            await reads(client)
            with pytest.raises(MCPError, match="signals:write"):
                await client.call_tool("trackSignal", {"symbol": "ETHUSDT", "action": "SELL"})
        async with by_http(address, key_of(host, "signals:read", "signals:write"), mode) as client:
            await writes(client)

    anyio.run(talk)


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
def test_the_client_agrees_on_the_newest_version_of_its_era(host: Flask, address: str, mode: str, version: str) -> None:
    async def talk() -> None:
        async with by_http(address, key_of(host), mode) as client:
            assert client.protocol_version == version
            assert client.server_capabilities.tools is not None
            assert client.server_info is not None
            assert client.server_info.name == "stateful_engine"

    anyio.run(talk)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_client_is_told_that_it_needs_a_key(address: str, mode: str) -> None:
    async def talk() -> None:
        async with by_http(address, "wrong", mode):
            pass

    with pytest.raises(Exception) as caught:
        anyio.run(talk)
    error: Any = caught.value
    while hasattr(error, "exceptions"):
        (error,) = error.exceptions
    assert isinstance(error, MCPError)
    assert "flask stateful keys create" in str(error)


@pytest.mark.parametrize("mode", MODES)
def test_the_client_lists_and_calls_over_standard_input_and_output(
    host: Flask, database_url: str, tmp_path: Path, mode: str
) -> None:
    async def talk() -> None:
        async with by_lines(tmp_path, database_url, mode) as client:
            await reads(client)
            with pytest.raises(MCPError, match="signals:write"):
                await client.call_tool("trackSignal", {"symbol": "ETHUSDT", "action": "SELL"})
        async with by_lines(tmp_path, database_url, mode, "--write") as client:
            await writes(client)

    anyio.run(talk)


def test_lines_that_are_no_messages_are_answered_and_the_conversation_goes_on(
    host: Flask, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "host_app.py").write_text(HOST)
    ping = b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}'
    lines = [b"{", b"", b"[" + ping + b"]", b"x" * (2**20 + 50), ping.replace(b"ping", b"x"), ping]

    run = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "host_app", "stateful", "mcp", "--scope", "signals:read"],
        input=b"\n".join(lines),
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
            "HOST_INSTANCE": str(tmp_path / "instance"),
            "FLASK_STATEFUL_DATABASE_URL": database_url,
        },
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=True,
    )

    broken, batch, large, unknown, answered = (json.loads(line) for line in run.stdout.splitlines())
    assert broken["error"]["code"] == -32700
    assert batch == [{"jsonrpc": "2.0", "id": 1, "result": {}}]
    assert large["error"]["code"] == 413
    assert unknown["error"]["code"] == -32601
    assert answered["result"] == {}
