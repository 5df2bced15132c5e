"""Has the scenarios played: a contestant in a process of its own, before a model server of this one, which it only knows by its address."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from benchmarks.contestants import OTHERS, PROVIDER, Contestant, Worker
from benchmarks.truth.judge import Case, Verdict
from benchmarks.truth.scenarios import ANSWER, SCENARIOS, Scenario, asks_next
from benchmarks.truth.scene import CANCELLED, Entry, Scene, Told, Used
from ecs_agent.testing import LoopbackServer, Received, Reply

OURS = replace(PROVIDER, module="benchmarks.ours_truth")
PEERS = tuple([replace(peer, module=f"{peer.module}_truth") for peer in OTHERS])
PROGRAM = "benchmarks.truth.worker"
LIMIT = 60.0


async def play(contestant: Contestant, scenarios: Sequence[Scenario] = SCENARIOS) -> dict[str, list[Verdict]]:
    """What one contestant answers to all questions, by the names of the scenarios."""
    verdicts: dict[str, list[Verdict]] = {}
    with Worker(contestant, PROGRAM) as worker:
        for scenario in scenarios:
            case = await _case(worker, scenario)
            verdicts[scenario.name] = [question(case) for question in scenario.questions]
    return verdicts


async def _case(worker: Worker, scenario: Scenario) -> Case:
    reply = scenario.answers()
    released: list[bool] = []

    def answer_to(request: Received) -> Reply:
        if asks_next(request):
            released.append(server.requests[0].cut_off)  # later it may just be that the contestant ends
        return reply(request)

    async with LoopbackServer([answer_to]) as server:
        scene = Scene(server.base_url, scenario.tool, scenario.retry, scenario.cancel_after, scenario.usage_so_far)
        answer = await asyncio.to_thread(worker.answer, asdict(scene), LIMIT)
        if isinstance(answer, str):
            raise RuntimeError(  # noqa: TRY004 - it is why there is no answer
                f"scenario {scenario.name!r} was not played: {answer}"
            )
        first, second = [_told(each) for each in answer["told"]]
        bodies = [request.body for request in server.requests]
        return Case(scenario.partial, ANSWER, scenario.told, first, second, bodies, first.ended == CANCELLED and any(released))


def _told(answer: dict[str, Any]) -> Told:
    history, used = answer.pop("history"), answer.pop("used")
    entries = None if history is None else [Entry(**entry) for entry in history]
    return Told(history=entries, used=None if used is None else Used(**used), **answer)
