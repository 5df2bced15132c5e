"""A contestant in a process of its own: reads scenes from standard input, a JSON object a line, and answers each with what it tells.

Run as `python -m benchmarks.truth.worker MODULE`, by whichever Python has what the module needs. Each scene asks two questions: the one that goes
wrong, and the next one.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import sys
from dataclasses import asdict
from typing import cast

from benchmarks.truth.scene import CANCELLED, NEXT, QUESTION, Client, Contestant, Scene, Screen, Told
from benchmarks.worker import alone

LIMIT = 20.0
"""Seconds for one question."""


async def play(contestant: Contestant, scene: Scene) -> list[Told]:
    """Ask both questions."""
    async with contestant.connect(scene) as client:
        first = await _ask(client, QUESTION, Screen(scene.cancel_after))
        return [first, await _ask(client, NEXT, Screen())]


async def _ask(client: Client, question: str, screen: Screen) -> Told:
    before = len(client.runs or ())
    try:
        ended = await asyncio.wait_for(client.ask(question, screen), LIMIT)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the contestant says
        ended = type(error).__name__
        logging.getLogger(__name__).warning("%s: %s", ended, error)
    await asyncio.sleep(0.5 if ended == CANCELLED else 0.1)  # what is released a moment later
    runs = None if client.runs is None else client.runs[before:]
    return Told(ended, "".join(screen.shown), screen.taken_back, await client.history(), client.used(), runs)


def main() -> None:
    """Serve."""
    answers = alone()
    contestant = cast("Contestant", importlib.import_module(sys.argv[1]))
    for line in sys.stdin:
        told = asyncio.run(play(contestant, Scene(**json.loads(line))))
        print(json.dumps({"done": True, "told": [asdict(each) for each in told]}), file=answers, flush=True)
    os._exit(0)  # some leave threads behind


if __name__ == "__main__":
    main()
