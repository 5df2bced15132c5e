"""Importing the package is cheap: what is heavy is loaded by the first use that needs it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ["aiohttp", "anthropic", "genai_prices", "griffe", "openai", "pydantic", "rich", "typer", "xllamacpp"]

MEASURE = """
import asyncio, json, sys, time
before = time.process_time()
import {module}
milliseconds = (time.process_time() - before) * 1e3
print(json.dumps([milliseconds, sorted(set(sys.modules) & set({heavy}))]))
"""


def imported_by(module: str) -> tuple[float, list[str]]:
    """Import in a new interpreter; give the CPU milliseconds above `import asyncio` and the heavy packages that came along."""
    code = MEASURE.format(module=module, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    milliseconds, heavy = json.loads(done.stdout)
    return milliseconds, heavy


@pytest.mark.parametrize(
    "module",
    ["ecs_agent", "ecs_agent.components", "ecs_agent.core", "ecs_agent.providers", "ecs_agent.streaming", "ecs_agent.systems", "ecs_agent.tools"],
)
def test_importing_loads_nothing_heavy(module: str) -> None:
    milliseconds, heavy = imported_by(module)
    print(f"import {module}: {milliseconds:.0f} ms of CPU above import asyncio")
    assert heavy == []


def test_a_heavy_import_would_be_found() -> None:
    _, heavy = imported_by("pydantic")
    assert "pydantic" in heavy
