"""A process that writes a journal is killed, and nothing that was acknowledged is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROUNDS = 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_process_leaves_what_was_acknowledged_and_whole_stretches_only(tmp_path: Path) -> None:
    program = Path(__file__).with_name("crash_rounds.py")
    done = subprocess.run([sys.executable, str(program), str(tmp_path), "1", str(ROUNDS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    acknowledged, end, grown = map(int, done.stdout.split())
    assert 0 < acknowledged <= end
    assert grown > ROUNDS / 4  # most were killed while they wrote
