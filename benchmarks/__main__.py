"""Print all rows, or those of the groups named on the command line."""

from __future__ import annotations

import sys

from benchmarks.importing import importing
from benchmarks.kernel import delta_cost, idle, queries, ticks, turns
from benchmarks.streams import many_streams, one_stream

GROUPS = {group.__name__: group for group in (importing, one_stream, many_streams, delta_cost, turns, ticks, queries, idle)}


def main() -> int:
    """Run the groups."""
    unknown = [name for name in sys.argv[1:] if name not in GROUPS]
    if unknown:
        print(f"unknown group {unknown[0]!r}; there are: {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    for name in sys.argv[1:] or GROUPS:
        for row in GROUPS[name]():
            print(row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
