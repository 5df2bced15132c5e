"""A slice of the crash harness: real processes are killed, and nothing that was acknowledged is lost, and nothing is done twice (P3, P4).

`python -m tests.crash --seeds 1000` is the whole.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SEEDS = 15


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes by SIGKILL, and needs fork")
def test_crews_that_are_killed_lose_nothing_and_do_nothing_twice() -> None:
    command = [sys.executable, "-m", "tests.crash", "--seeds", str(SEEDS), "--workers", "3"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = re.search(rf"{SEEDS} crews, (\d+) kills .*: 0 crews with problems", done.stdout)
    assert told is not None, done.stdout
    assert int(told[1]) >= SEEDS  # else it would prove little
