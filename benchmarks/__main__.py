"""Print all rows, or those of the groups named on the command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from benchmarks import results
from benchmarks.agents import agents, journal
from benchmarks.codecs import codecs
from benchmarks.collector import collector
from benchmarks.contestants import OTHERS, OURS, Contestant
from benchmarks.importing import importing
from benchmarks.kernel import idle, queries, ticks
from benchmarks.rows import Row
from benchmarks.saving import saving
from benchmarks.streams import many_streams, memory, one_stream, paced_streams, packets

COMPARED: dict[str, Callable[[Sequence[Contestant]], list[Row]]] = {
    group.__name__: group for group in (importing, one_stream, packets, many_streams, paced_streams, memory, agents)
}
OWN: dict[str, Callable[[], list[Row]]] = {group.__name__: group for group in (codecs, ticks, queries, idle, collector, saving, journal)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the groups."""
    options = _parser().parse_args(arguments)
    names = options.groups or [*COMPARED, *OWN]
    unknown = [name for name in names if name not in COMPARED and name not in OWN]
    if unknown:
        print(f"unknown group {unknown[0]!r}; there are: {', '.join([*COMPARED, *OWN])}", file=sys.stderr)
        return 2
    peers = [peer for peer in OTHERS if peer.is_installed]
    if options.peers and not peers:
        print("no peer is installed; install them with: make peers", file=sys.stderr)
        return 2
    contestants = [*OURS, *(peers if options.peers else ())]
    busy = os.getloadavg()[0]
    if busy > 0.5:
        print(f"the machine is busy (load {busy:.1f}): the ratios hold better than the figures", file=sys.stderr)
    rows: dict[str, list[Row]] = {}
    for name in names:
        rows[name] = COMPARED[name](contestants) if name in COMPARED else OWN[name]()
        print(*rows[name], sep="\n", flush=True)
    if options.save:
        command = f"python -m benchmarks {' '.join([*(['--peers'] if options.peers else []), *options.groups])}".strip()
        found = results.gather(rows, contestants, command, busy)
        path = results.FOLDER / f"{found.date}.json"
        found.save(path)
        print(f"saved as {path.name}", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="group", help=f"any of {', '.join([*COMPARED, *OWN])}; all without one")
    parser.add_argument("--peers", action="store_true", help="measure the installed peers as well")
    parser.add_argument("--save", action="store_true", help="keep the figures as JSON in benchmarks/results, beside those of other groups of the day")
    return parser


if __name__ == "__main__":
    sys.exit(main())
