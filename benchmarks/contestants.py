"""Who is measured: the floors, this package, and those of the peers whose environments were made (`make peers`)."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.server import ROOT
from benchmarks.worker import Figures, Job

PEERS = ROOT / ".cache" / "peers"
# Nothing of a peer leaves the machine; the worker refuses it as well.
QUIET = {
    "OPENAI_API_KEY": "bench",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "LITELLM_TELEMETRY": "False",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LOGFIRE_SEND_TO_LOGFIRE": "false",
    "DO_NOT_TRACK": "1",
    "NO_PROXY": "*",
}


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to read a stream.

    Args:
        name: in tables.
        module: the file that asks.
        environment: the folder in `.cache/peers`; None runs in this environment.
        package: the distribution whose version is named.
        imports: the module whose import is measured.
    """

    name: str
    module: str
    environment: str | None = None
    package: str | None = None
    imports: str | None = None

    @property
    def python(self) -> Path:
        return PEERS / self.environment / "bin" / "python" if self.environment else Path(sys.executable)

    @property
    def is_installed(self) -> bool:
        return self.python.exists()


FLOOR = Contestant("raw socket", "benchmarks.floor_socket")
AIOHTTP = Contestant("aiohttp", "benchmarks.floor_aiohttp")
PROVIDER = Contestant("ecs_agent", "benchmarks.ours_provider", package="ecs-agent", imports="ecs_agent")
AGENT = Contestant("ecs_agent, agent", "benchmarks.ours_agent")
WATCHED = Contestant("ecs_agent, agent watched", "benchmarks.ours_agent_watched")
OURS = (FLOOR, AIOHTTP, PROVIDER, AGENT, WATCHED)
OTHERS = (
    Contestant("ecs-agent 0.1.0", "benchmarks.peers.reference", "reference", "ecs-agent", "ecs_agent"),
    Contestant("openai SDK", "benchmarks.peers.openai_sdk", "openai_sdk", "openai", "openai"),
    Contestant("openai-agents", "benchmarks.peers.openai_agents", "openai_agents", "openai-agents", "agents"),
    Contestant("LangChain", "benchmarks.peers.langchain", "langchain", "langchain-openai", "langchain_openai"),
    Contestant("pydantic-ai", "benchmarks.peers.pydantic_ai", "pydantic_ai", "pydantic-ai-slim", "pydantic_ai"),
    Contestant("litellm", "benchmarks.peers.litellm", "litellm", "litellm", "litellm"),
)

PLAIN = Contestant("plain tasks", "benchmarks.floor_crew")
CREW = Contestant(PROVIDER.name, "benchmarks.ours_crew")
CREW_WATCHED = Contestant("ecs_agent, one subscriber", "benchmarks.ours_crew_watched")
CREW_CONSUMED = Contestant("ecs_agent, a consumer each", "benchmarks.ours_crew_consumed")
CREW_STORED = Contestant("ecs_agent, a journal", "benchmarks.ours_crew_stored")
MSGSPEC = Contestant("msgspec", "benchmarks.saving")
"""The floor of a world in a file: as many objects with the same texts."""
OUR_CREWS = (CREW, CREW_WATCHED, CREW_CONSUMED)
OTHER_CREWS = tuple([replace(peer, module=f"{peer.module}_crew") for peer in OTHERS if (ROOT / f"{peer.module.replace('.', '/')}_crew.py").exists()])
"""Those of the others that have agents, or what agents are made of."""


class Worker:
    """The process of a contestant; a new one is started when the last has ended.

    Args:
        contestant: who it is.
        program: the module that does its jobs.
    """

    def __init__(self, contestant: Contestant, program: str = "benchmarks.worker") -> None:
        self._contestant = contestant
        self._program = program
        self._process: subprocess.Popen[str] | None = None
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the worker

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        self._errors.close()

    def do(self, job: Job) -> Figures | str:
        """Have a job done; return its figures, or why there are none."""
        answer = self.answer(asdict(job), job.limit)
        return answer if isinstance(answer, str) else Figures(**answer)

    def answer(self, job: dict[str, Any], limit: float) -> dict[str, Any] | str:
        """Have any job done; return what the process answers, or why it does not."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            return self._failure()
        if not select.select([process.stdout], [], [], limit + 60)[0]:
            self.stop()
            return f"no answer within {limit:.0f} s"
        answer = process.stdout.readline()
        if not answer:
            return self._failure()
        figures: dict[str, Any] = json.loads(answer)
        if not figures["done"]:
            self.stop()
        return figures

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            command = [str(self._contestant.python), "-m", self._program, self._contestant.module]
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **QUIET}, stdin=pipe, stdout=pipe, stderr=self._errors, text=True)
        return self._process

    def _failure(self) -> str:
        """What the process said last."""
        self.stop()
        self._errors.seek(0)
        said = [line.strip() for line in self._errors if line.strip()]
        return said[-1][:200] if said else "its process ended without a word"
