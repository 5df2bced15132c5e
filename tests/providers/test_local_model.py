"""What chat and embeddings share of a local model: a process that starts when asked, again when it died, and ends with who has it."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from tests.providers.test_local_server import OPTIONS, gone, program

from ecs_agent.errors import ConfigurationError, ProviderConnectionError
from ecs_agent.providers.local.model import LocalModel, model_file, threads_or_default
from ecs_agent.providers.local.server import LocalServer
from ecs_agent.providers.settings import Settings
from ecs_agent.providers.transport import Transport

OPTIONS = replace(OPTIONS, name="some-model")

CHILD = """
import http.server, json, os, sys, threading
settings = json.loads(sys.stdin.readline())
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"{}")
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        allowed = self.headers["authorization"] == "Bearer " + settings["api_key"]
        data = [{"index": at, "embedding": [float(len(text)), settings["context"]]} for at, text in enumerate(asked["input"])]
        count = {"input_tokens": len(asked.get("messages", []))}
        body = json.dumps(count if self.path.endswith("input_tokens") else {"model": settings["name"], "data": data}).encode()
        self.send_response(200 if allowed else 401); self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}), flush=True)
server.serve_forever()
""".replace('asked["input"]', 'asked.get("input", [])')


class Asker:
    """Notes whom it would ask."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self.settings = settings
        self.transport = transport
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True


def local(folder: Path) -> LocalModel[Asker]:
    made = LocalModel(OPTIONS, Asker)
    made._server = LocalServer(OPTIONS, child=program(folder, CHILD))
    return made


def pid_of(model: LocalModel[Asker]) -> int:
    assert model._server._process is not None
    return model._server._process.pid


def kill(model: LocalModel[Asker]) -> None:
    os.kill(pid_of(model), signal.SIGKILL)
    assert model._server._process is not None
    model._server._process.wait()


async def test_who_asks_is_told_where_and_with_which_key(tmp_path: Path) -> None:
    model = local(tmp_path)
    assert not model._server.running
    asker = await model.start()
    assert await model.start() is asker
    assert asker.settings.base_url == f"{model._server._url}/v1"
    assert asker.settings.model == "some-model"
    assert asker.settings.key is not None
    assert asker.settings.key.reveal() == model._server.key
    pid = pid_of(model)
    await model.aclose()
    await model.aclose()
    assert asker.closed
    assert gone(pid)


async def test_after_it_was_closed_it_starts_again(tmp_path: Path) -> None:
    model = local(tmp_path)
    first = await model.start()
    await model.aclose()
    assert await model.start() is not first
    await model.aclose()


async def test_a_question_whose_process_died_is_asked_once_more(tmp_path: Path) -> None:
    model, asked = local(tmp_path), []

    async def question(asker: Asker) -> str:
        asked.append(asker)
        if len(asked) == 1:
            kill(model)
            raise ProviderConnectionError("gone")
        return "answer"

    assert await model.ask(question) == "answer"
    assert asked[0] is not asked[1]
    assert asked[0].transport is asked[1].transport
    await model.aclose()


async def test_all_who_ask_while_it_starts_again_ask_the_new_process(tmp_path: Path) -> None:
    model = local(tmp_path)
    first = await model.start()
    kill(model)
    askers = await asyncio.gather(*[model.start() for _ in range(3)])
    assert {id(asker) for asker in askers} == {id(askers[0])} != {id(first)}
    await model.aclose()


async def test_a_process_that_lives_and_cannot_be_asked_is_an_error(tmp_path: Path) -> None:
    model, asked = local(tmp_path), []

    async def question(asker: Asker) -> str:
        asked.append(asker)
        raise ProviderConnectionError("refused")

    with pytest.raises(ProviderConnectionError, match="refused"):
        await model.ask(question)
    assert len(asked) == 1
    await model.aclose()


async def test_it_ends_when_it_is_forgotten(tmp_path: Path) -> None:
    model = local(tmp_path)
    await model.start()
    pid = pid_of(model)
    del model
    assert gone(pid)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no model file"):
        model_file(tmp_path / "nowhere.gguf")
    (tmp_path / "some.gguf").touch()
    assert model_file(str(tmp_path / "some.gguf")) == tmp_path / "some.gguf"


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert (threads_or_default(None), threads_or_default(3)) == (7, 3)
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert threads_or_default(None) == 1
