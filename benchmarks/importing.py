"""What `import ecs_agent` costs above `import asyncio`."""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.rows import Row

PROGRAM = "import asyncio, time; start = time.process_time(); import ecs_agent; print(time.process_time() - start)"


def importing(rounds: int = 7) -> list[Row]:
    """CPU time of the import in a fresh interpreter, median."""
    figures = [float(subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout) for _ in range(rounds)]
    return [Row("import ecs_agent", statistics.median(figures) * 1e3, "ms CPU")]
