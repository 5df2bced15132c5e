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
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

from ecs_agent.cli.app import parse
from ecs_agent.providers.local import weights as local_weights
from ecs_agent.testing import LoopbackServer, chat_reply

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").rglob("*.md")])
FENCE = re.compile(r"(?:^<!-- needs: (?P<needs>\w+) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)\n```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]*))?\)")
MADE = re.compile(r"^([a-z-]+):", re.MULTILINE)
# The blocks that do not run everywhere, by what they need. A new one is a decision, not an accident.
NEEDS = {"openai": 1, "weights": 3}


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
async def test_an_example_runs(block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # an example may leave a file
    if block.needs == "weights":
        if local_weights.find() is None:
            pytest.skip("the embedded model's weights are not installed: ecs-agent local install")
    elif block.needs == "openai":
        pytest.importorskip("openai", reason="the openai SDK is not installed")
    elif block.needs is not None:
        pytest.fail(f"{block.name} needs {block.needs!r}, which nobody knows")
    code: CodeType = compile("\n" * block.line + block.code, str(block.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)  # dataclasses look their module up
    result = eval(code, vars(module))
    if inspect.iscoroutine(result):
        await result


def test_blocks_that_do_not_run_everywhere_are_counted() -> None:
    needs = [match["needs"] for page in PAGES for match in FENCE.finditer(page.read_text("utf-8")) if match["needs"]]
    assert Counter(needs) == NEEDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_block_and_no_language_is_forgotten(page: Path) -> None:
    text = page.read_text("utf-8")
    assert {match["language"] for match in FENCE.finditer(text)} <= {"python", "console", "sh", "text"}
    assert len(re.findall(r"^[\s>*-]*(?:```|~~~)", text, re.MULTILINE)) == 2 * len(FENCE.findall(text)), "a fence that is not read: is it indented?"
    assert len(re.findall(r"^\s*<!-- needs:", text, re.MULTILINE)) == len([match for match in FENCE.finditer(text) if match["needs"]]), (
        "a comment that is not right before a block"
    )


@pytest.mark.parametrize("block", blocks("console", "sh"))
def test_a_command_exists(block: Block) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for line in block.code.splitlines():
        for command in re.split(r" \| | && ", line):
            match shlex.split(command):
                case ["make", *targets]:
                    assert set(targets) <= made(), line
                case ["ecs-agent", *words]:
                    assert callable(parse(words))
                case ["pip", "install", "-e", what]:
                    assert set(re.findall(r"\w+", what)) <= set(extras), line
                case ["git", *_]:
                    pass
                case _:
                    pytest.fail(f"{block.name}: nothing here knows how to check {command!r}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_make_targets_named_in_the_text_exist(page: Path) -> None:
    named = [target for words in re.findall(r"`make ([a-z -]+)`", page.read_text("utf-8")) for target in words.split()]
    assert set(named) <= made()


def made() -> set[str]:
    return set(MADE.findall((ROOT / "Makefile").read_text("utf-8")))


def anchors(page: Path) -> list[str]:
    """What the headings of a page are called in links."""
    headings = re.findall(r"^#+ +(.*)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text("utf-8")):
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name} links to {path}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {path}#{anchor}"
