"""Play the scenarios with this package and the peers that are installed; print who passes what."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from benchmarks.contestants import Contestant
from benchmarks.truth import results
from benchmarks.truth.contest import OURS, PEERS, play
from benchmarks.truth.judge import Verdict
from benchmarks.truth.page import MARKS, PAGE, page


def main(arguments: Sequence[str] | None = None) -> int:
    """Play them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.truth", description=__doc__)
    parser.add_argument("--save", action="store_true", help="keep the answers as JSON in benchmarks/results/truth, and render docs/one-truth.md")
    parser.add_argument("--render", action="store_true", help="play nothing; render the page from the results that were saved last")
    options = parser.parse_args(arguments)
    if not options.render:
        contestants = [OURS, *[peer for peer in PEERS if peer.is_installed]]
        verdicts = asyncio.run(_play(contestants))
        if not options.save:
            return 0
        found = results.gather(verdicts, contestants)
        found.save(results.FOLDER / f"{found.date}.json")
    PAGE.write_text(page(results.load(results.newest())), "utf-8")
    print(f"rendered {PAGE.name}", file=sys.stderr)
    return 0


async def _play(contestants: Sequence[Contestant]) -> dict[str, dict[str, list[Verdict]]]:
    verdicts: dict[str, dict[str, list[Verdict]]] = {}
    for contestant in contestants:
        verdicts[contestant.name] = await play(contestant)
        print(f"\n{contestant.name}")
        for scenario, found in verdicts[contestant.name].items():
            for verdict in found:
                print(f"  {MARKS[verdict.passed]} {scenario}: {verdict.question}: {verdict.says}", flush=True)
    return verdicts


if __name__ == "__main__":
    sys.exit(main())
