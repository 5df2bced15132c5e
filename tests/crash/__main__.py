"""Kills crews of agents at drawn moments, has them go on, and checks that nothing was lost and nothing done twice.

    python -m tests.crash --seeds 1000                # about 15 minutes on two cores
    python -m tests.crash --seeds 1 --first 217 --keep crashed    # one of them again; its files stay in a folder

The last line is the summary; the exit code is 1 if any crew broke a law (`tests/crash/laws.py`). Moments are drawn by seed, but a process is never
twice as fast, so what a seed finds it need not find again.
"""

from __future__ import annotations

import argparse
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

import msgspec
from tests.crash.harness import Verdict, try_seed


def work(seeds: range, keep: Path | None) -> None:
    """Try seeds one after another, and print a verdict each."""
    for seed in seeds:
        with ExitStack() as stack:
            folder = keep / str(seed) if keep is not None else Path(stack.enter_context(tempfile.TemporaryDirectory()))
            folder.mkdir(parents=True, exist_ok=True)
            print(msgspec.json.encode(try_seed(seed, folder)).decode(), flush=True)


def gathered(workers: list[subprocess.Popen[bytes]]) -> Iterator[Verdict]:
    """The verdicts of workers, as they come."""
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            if worker.stdout is not None:
                selector.register(worker.stdout, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                line = cast("IO[bytes]", key.fileobj).readline()
                if line:
                    yield msgspec.json.decode(line, type=Verdict)
                else:
                    selector.unregister(key.fileobj)


def summary(verdicts: list[Verdict], seconds: float) -> str:
    """What came of all crews, in a line."""
    kinds = Counter[str]()
    for verdict in verdicts:
        kinds.update(verdict.kills)
    kills = ", ".join([f"{count} {kind}" for kind, count in sorted(kinds.items())])
    return (
        f"{len(verdicts)} crews, {kinds.total()} kills ({kills}), {sum(verdict.lives for verdict in verdicts)} openings, "
        f"{sum(verdict.facts for verdict in verdicts)} facts, {sum(verdict.unknown for verdict in verdicts)} outcomes unknown: "
        f"{sum(bool(verdict.problems) for verdict in verdicts)} crews with problems, in {seconds:.0f} s"
    )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000, help="how many crews")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--workers", type=int, default=2, help="processes that work side by side")
    parser.add_argument("--keep", type=Path, default=None, help="an empty folder for the stores; by default they are deleted")
    parser.add_argument("--worker", type=int, default=None, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    if chosen.worker is not None:
        work(seeds[chosen.worker :: chosen.workers], chosen.keep)
        return 0
    begun = time.monotonic()
    command = [sys.executable, "-m", "tests.crash", *sys.argv[1:], "--workers", str(chosen.workers), "--worker"]
    workers = [subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE, bufsize=0) for number in range(min(chosen.workers, len(seeds)))]
    verdicts: list[Verdict] = []
    for verdict in gathered(workers):
        verdicts.append(verdict)
        for problem in verdict.problems:
            print(f"seed {verdict.seed}, {problem}", flush=True)
        if len(verdicts) % 50 == 0:
            print(summary(verdicts, time.monotonic() - begun), flush=True)
    codes = [worker.wait() for worker in workers]
    print(summary(verdicts, time.monotonic() - begun))
    return int(any(codes) or len(verdicts) < len(seeds) or any(verdict.problems for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
