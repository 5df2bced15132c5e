"""What it costs, above `import asyncio`, to import a package and to be ready to ask."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Sequence

from benchmarks.contestants import OURS, QUIET, Contestant
from benchmarks.rows import Row
from benchmarks.server import ROOT

PROGRAM = "import asyncio, time; start = time.process_time(); {}; print(time.process_time() - start)"
READY = """
import asyncio, time
start = time.process_time()
import {}
async def ready():
    async with {}.connect("http://127.0.0.1:9/0-0/v1"):
        print(time.process_time() - start)
asyncio.run(ready())
"""


def importing(contestants: Sequence[Contestant] = OURS, rounds: int = 5) -> list[Row]:
    """CPU time in a fresh interpreter: of the import, and until the client that asks for streams is set up, whatever is loaded late."""
    programs = [("import", contestant, PROGRAM.format(f"import {contestant.imports}")) for contestant in contestants if contestant.imports]
    programs += [("import and set-up of the client", contestant, READY.format(*[contestant.module] * 2)) for contestant in contestants]
    figures: list[list[float]] = [[] for _ in programs]
    for _ in range(rounds + 1):
        for (_, contestant, program), values in zip(programs, figures, strict=True):
            values.append(_once(contestant, program))
    return [
        Row(name, statistics.median(values[1:]) * 1e3, "ms CPU", who=contestant.name)  # the first may have compiled
        for (name, contestant, _), values in zip(programs, figures, strict=True)
    ]


def _once(contestant: Contestant, program: str) -> float:
    done = subprocess.run([str(contestant.python), "-c", program], cwd=ROOT, env={**QUIET}, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])
