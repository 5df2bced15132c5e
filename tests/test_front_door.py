"""The front doors: what a package exports is sorted, complete and importable."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import ecs_agent

PACKAGES = ["ecs_agent", *(info.name for info in pkgutil.iter_modules(ecs_agent.__path__, "ecs_agent.") if info.ispkg)]

# Names that users rely on, package by package. Taking one away is a breaking change.
AGREED = {
    "ecs_agent": """
        __version__ World Runner EventBus Query spawn_agent Agent tool configure_logging get_logger
        Message CompletionResult ToolCall ToolSchema EntityId StreamDelta RetryConfig Usage RetryProvider
        TextDelta ReasoningDelta RefusalDelta CitationReceived ToolCallStarted ToolCallDelta ToolCallCompleted UsageReported Finished
        ToolExecutionStarted ToolExecutionCompleted RunCompleted
        EcsAgentError ProviderError RateLimitError StreamInterruptedError""",
    "ecs_agent.core": "World Runner EventBus Query EntityIdGenerator",
    "ecs_agent.streaming": "SSEDecoder ServerSentEvent CompletionStream StreamDecoder DecoderPhase fold",
    "ecs_agent.providers": "LLMProvider OpenAIProvider FakeProvider RetryProvider LocalProvider",
    "ecs_agent.tools": "Tool tool",
    "ecs_agent.components": """
        LLMComponent ConversationComponent SystemPromptComponent ToolRegistryComponent PendingToolCallsComponent ToolResultsComponent
        OwnerComponent ErrorComponent TerminalComponent""",
    "ecs_agent.systems": "ReasoningSystem ToolExecutionSystem MemorySystem ErrorHandlingSystem",
    "ecs_agent.testing": "LoopbackServer",
}


def front_door(package: str) -> ast.Module:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def public_names(tree: ast.Module) -> set[str]:
    """Everything of ours that stands in the file: defined there, or imported from the package, also for type checkers only."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("ecs_agent")):
            found |= {alias.asname or alias.name for alias in node.names}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return {name for name in found if not name.startswith("_")}


def exported(package: str) -> list[str]:
    return list(getattr(importlib.import_module(package), "__all__", []))


def constants_then_classes_then_functions(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("package", PACKAGES)
def test_exports_are_sorted_and_named_once(package: str) -> None:
    names = exported(package)
    assert names == sorted(set(names), key=constants_then_classes_then_functions)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_of_a_front_door_is_exported(package: str) -> None:
    assert public_names(front_door(package)) - set(exported(package)) == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_export_can_be_imported(package: str) -> None:
    module = importlib.import_module(package)
    assert [name for name in exported(package) if not hasattr(module, name)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_exports_are_listed_for_completion(package: str) -> None:
    assert set(exported(package)) <= set(dir(importlib.import_module(package)))


@pytest.mark.parametrize("package", sorted(AGREED))
def test_the_names_that_users_rely_on_are_there(package: str) -> None:
    assert set(AGREED[package].split()) - set(exported(package)) == set()


def test_an_unknown_name_is_an_attribute_error() -> None:
    for package in PACKAGES:
        with pytest.raises(AttributeError, match="no_such_name"):
            importlib.import_module(package).no_such_name  # noqa: B018  # looking it up is the test


def test_a_public_name_that_is_not_exported_would_be_found() -> None:
    tree = ast.parse("from ecs_agent.core import World\nfrom typing import Any\nLIMIT: int = 1\ndef run(): ...\n_cache = {}\n__all__ = []")
    assert public_names(tree) == {"World", "LIMIT", "run"}
