"""Every example in the README and the documentation runs, and every link and command in them exists.

Each ```python block runs by itself, with top-level `await`, beside a model server on loopback that `OPENAI_BASE_URL` names. A block that cannot
run everywhere says why in a comment right before it: `<!-- needs: weights -->`. Blocks of other languages are checked below.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

from ecs_agent.cli.app import parse
from ecs_agent.providers import local_weights
from ecs_agent.testing import LoopbackServer, chat_reply

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"(?:<!-- needs: (?P<needs>\w+) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)\n```", re.DOTALL)
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]*))?\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block and where it stands."""

    page: Path
    line: int
    language: str
    needs: str | None
    code: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Any]:
    found: list[Any] = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in FENCE.finditer(text):
            block = Block(page, text.count("\n", 0, match.start("code")), match["language"], match["needs"], match["code"])
            if block.language in languages:
                found.append(pytest.param(block, id=block.name))
    return found


@pytest.fixture
async def environment(monkeypatch: pytest.MonkeyPatch) -> Any:
    async with LoopbackServer([chat_reply("Once upon a time there was a stream.")]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "test-key")
        monkeypatch.setenv("LLM_MODEL", "test-model")
        yield server


@pytest.mark.parametrize("block", blocks("python"))
@pytest.mark.usefixtures("environment")
async def test_an_example_runs(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    if block.needs == "weights":
        if local_weights.find() is None:
            pytest.skip("the embedded model's weights are not installed: ecs-agent local install")
    elif block.needs is not None:
        pytest.fail(f"{block.name} needs {block.needs!r}, which nobody knows")
    code: CodeType = compile("\n" * block.line + block.code, str(block.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)  # dataclasses look their module up
    result = eval(code, vars(module))
    if inspect.iscoroutine(result):
        await result


def test_no_language_is_forgotten() -> None:
    known = {"python", "console", "sh", "text"}
    for page in PAGES:
        assert {match["language"] for match in FENCE.finditer(page.read_text("utf-8"))} <= known, page


@pytest.mark.parametrize("block", blocks("console", "sh"))
def test_a_command_exists(block: Block) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for line in block.code.splitlines():
        for target in re.findall(r"^make (\w+)", line):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), line
        for command in re.findall(r"(?:^|\| )ecs-agent ([^|]*)", line):
            assert callable(parse(shlex.split(command)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    for path, anchor in LINK.findall(text):
        target = page if not path else page.parent / path
        assert target.exists(), f"{page.name} links to {path}"
        if anchor:
            headings = [
                re.sub(r"[^\w\- ]", "", line.lstrip("# ")).strip().lower().replace(" ", "-")
                for line in target.read_text("utf-8").splitlines()
                if line.startswith("#")
            ]
            assert anchor in headings, f"{page.name} links to {path}#{anchor}"
