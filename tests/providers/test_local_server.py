"""The owner of the model process, tried with a child that speaks the same lines and computes nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ecs_agent.errors import ConfigurationError, ProviderConnectionError
from ecs_agent.providers.local.server import CHILD, LocalServer, ServerOptions

OPTIONS = ServerOptions(Path("model.gguf"), "m", None, 64, 1, 1, 10.0)

HEALTHY = """
import http.server, json, os, sys, threading
settings = json.loads(sys.stdin.readline())
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"{}")
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}), flush=True)
server.serve_forever()
"""

OWNER = """
import asyncio, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.providers.test_local_server import OPTIONS
from ecs_agent.providers.local.server import LocalServer
server = LocalServer(OPTIONS, child=Path(sys.argv[1]))
asyncio.run(server.start())
print(server._process.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    return program(tmp_path, HEALTHY)


def program(folder: Path, text: str) -> Path:
    path = folder / "child.py"
    path.write_text(text)
    return path


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


async def test_it_starts_once_and_ends_when_stopped(healthy: Path) -> None:
    server = LocalServer(OPTIONS, child=healthy)
    assert not server.running
    url, again = await asyncio.gather(server.start(), server.start())
    assert url == again
    assert server._process is not None
    pid = server._process.pid
    server.stop()
    server.stop()
    assert gone(pid)
    assert not server.running


async def test_closing_one_that_is_slow_to_end_keeps_nobody_waiting_and_the_next_one_is_another(tmp_path: Path) -> None:
    server = LocalServer(OPTIONS, child=program(tmp_path, HEALTHY.replace("os._exit(0)", "__import__('time').sleep(1), os._exit(0)")))
    first = await server.start()
    closing = asyncio.create_task(server.aclose())
    turns = 0
    while not closing.done():
        await asyncio.sleep(0.01)
        turns += 1
        if turns == 1:
            assert not server.running
            assert await server.start() != first
    await closing
    assert turns > 5
    assert server.running
    await server.aclose()
    await server.aclose()


async def test_who_asks_while_it_starts_waits_until_it_is_healthy(tmp_path: Path) -> None:
    server = LocalServer(OPTIONS, child=program(tmp_path, "import time; time.sleep(0.3)" + HEALTHY))
    first = asyncio.create_task(server.start())
    while not server.running:
        await asyncio.sleep(0)
    assert await server.start() == await first != ""
    server.stop()


async def test_it_starts_again_when_it_died(healthy: Path) -> None:
    server = LocalServer(OPTIONS, child=healthy)
    first = await server.start()
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGKILL)
    server._process.wait()
    assert await server.start() != first
    server.stop()


async def test_it_ends_when_it_is_forgotten(healthy: Path) -> None:
    server = LocalServer(OPTIONS, child=healthy)
    await server.start()
    assert server._process is not None
    pid = server._process.pid
    del server
    assert gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_it_ends_with_its_owner_even_on_kill_9(healthy: Path) -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", OWNER, str(healthy), str(root)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert alive(pid)
        owner.kill()
    assert gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
async def test_the_key_stands_neither_in_the_process_list_nor_in_the_environment(healthy: Path) -> None:
    server = LocalServer(OPTIONS, child=healthy)
    await server.start()
    assert server._process is not None
    proc = Path(f"/proc/{server._process.pid}")
    assert len(server.key) > 30
    assert server.key.encode() not in (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()
    assert b"OMP_WAIT_POLICY=PASSIVE" in (proc / "environ").read_bytes()
    server.stop()


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("import sys; sys.exit('out of memory')", ProviderConnectionError, "out of memory"),
        ("print('not json', flush=True)", ProviderConnectionError, "ended"),
        ('print(\'{"error": "import", "message": "no module"}\', flush=True)', ConfigurationError, "pip install"),
        ('print(\'{"error": "model", "message": "bad magic"}\', flush=True)', ConfigurationError, "bad magic"),
    ],
)
async def test_a_child_that_fails_says_why(tmp_path: Path, text: str, error: type[Exception], words: str) -> None:
    server = LocalServer(OPTIONS, child=program(tmp_path, text))
    with pytest.raises(error, match=words):
        await server.start()
    assert not server.running


async def test_also_if_it_did_not_wait_to_hear_what_it_is_to_do(tmp_path: Path) -> None:
    long = replace(OPTIONS, template="x" * 1_000_000)  # more than a pipe holds, so that it has ended before all is written
    server = LocalServer(long, child=program(tmp_path, 'print(\'{"error": "import", "message": "no module"}\', flush=True)'))
    with pytest.raises(ConfigurationError, match="pip install"):
        await server.start()
    assert not server.running


async def test_a_child_that_never_gets_ready_is_given_up(tmp_path: Path) -> None:
    server = LocalServer(replace(OPTIONS, start_timeout=0.2), child=program(tmp_path, "import time; time.sleep(60)"))
    with pytest.raises(ProviderConnectionError, match="0.2 s"):
        await server.start()
    assert not server.running


async def test_the_real_child_refuses_a_file_that_is_no_model(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="the extra [local] is not installed")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF but not really")
    with pytest.raises(ConfigurationError, match="could not be loaded"):
        await LocalServer(replace(OPTIONS, model=broken, start_timeout=30.0), child=CHILD).start()
