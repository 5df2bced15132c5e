from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ecs_agent.errors import ConfigurationError, ToolDefinitionError
from ecs_agent.tools import scan_module, tool, tool_table

GOOD = '''
from __future__ import annotations
from dataclasses import dataclass
from ecs_agent.tools import tool

@dataclass
class Place:
    city: str

@tool
def zebra(place: Place) -> str:
    """First."""
    return place.city

@tool(name="apple")
async def second(x: int) -> int:
    return x

def helper(x: int) -> int:
    return x

again = zebra
'''


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], Path]]:
    """Writes a module that can be imported, and forgets it afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    known = set(sys.modules)

    def put(name: str, text: str) -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        return path

    yield put
    for name in set(sys.modules) - known:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def test_tools_are_found_by_module_name_in_the_order_of_their_definition(write: Callable[[str, str], Path]) -> None:
    write("shop_tools", GOOD)
    assert [each.name for each in scan_module("shop_tools")] == ["zebra", "apple"]
    assert [each.name for each in scan_module(sys.modules["shop_tools"])] == ["zebra", "apple"]


@pytest.mark.parametrize("as_text", [True, False])
def test_tools_are_found_by_file(write: Callable[[str, str], Path], as_text: bool) -> None:
    path = write("json", GOOD)  # a name that shadows no module
    found = scan_module(str(path) if as_text else path)
    assert [each.name for each in found] == ["zebra", "apple"]
    assert found[0](**found[0].validate({"place": {"city": "Rome"}})) == "Rome"
    assert sys.modules["json"].__file__ != str(path)
    assert scan_module(path)[0] is found[0]


def test_imported_tools_count_only_when_the_module_names_them(write: Callable[[str, str], Path]) -> None:
    write("inner_tools", GOOD)
    write("outer_tools", "from inner_tools import zebra\nfrom ecs_agent.tools import tool\n@tool\ndef own() -> None: ...\n")
    assert [each.name for each in scan_module("outer_tools")] == ["own"]
    write("front_tools", "from inner_tools import zebra, second\n__all__ = ['second', 'zebra', 'missing']\n")
    assert [each.name for each in scan_module("front_tools")] == ["apple", "zebra"]


def test_tools_made_from_methods_belong_to_the_module_that_makes_them(write: Callable[[str, str], Path]) -> None:
    write("method_tools", "from ecs_agent.tools import tool\nimport pathlib\nclass A:\n  def go(self, x: int) -> None: ...\ngo = tool(A().go)\n")
    assert [each.name for each in scan_module("method_tools")] == ["go"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("broken_syntax", "def (", "importing broken_syntax failed: SyntaxError"),
        ("broken_import", "import no_such_package_here", "failed: ModuleNotFoundError: No module named 'no_such_package_here'"),
        ("broken_code", "1 / 0", "failed: ZeroDivisionError: division by zero"),
        ("broken_exit", "raise SystemExit(2)", "failed: SystemExit: 2"),
        ("broken_tool", "from ecs_agent.tools import tool\n@tool\ndef f(x): ...", "failed: ToolDefinitionError: f cannot be a tool: parameter x"),
        ("without_tools", "x = 1", "has no tools; decorate"),
        ("twice", "from ecs_agent.tools import tool\n@tool\ndef f() -> None: ...\ng = tool(f.function)", "two tools are named 'f'"),
    ],
)
def test_a_module_without_usable_tools_says_why(write: Callable[[str, str], Path], name: str, text: str, says: str) -> None:
    path = write(name, text)
    with pytest.raises(ConfigurationError) as caught:
        scan_module(name)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        scan_module(path)
    assert says.partition("failed: ")[2] in str(caught.value)
    if "failed" in says:
        assert not any(str(path) in known for known in sys.modules)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("no_such_module", "there is no module 'no_such_module'"),
        ("ecs_agent.no_such_module", "there is no module 'ecs_agent.no_such_module'"),
        ("no_such_file.py", "there is no Python file"),
        ("./no/such/folder", "there is no Python file"),
        ("", "'' is no module"),
        (".relative", "'.relative' is no module"),
        ("a b", "'a b' is no module"),
    ],
)
def test_a_missing_module_or_file_is_named(source: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        scan_module(source)
    assert says in str(caught.value)


def test_an_interrupted_import_passes_and_leaves_nothing(write: Callable[[str, str], Path]) -> None:
    path = write("interrupted", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        scan_module(path)
    assert not any(str(path) in name for name in sys.modules)


def test_a_module_made_by_hand() -> None:
    module = types.ModuleType("by_hand")
    with pytest.raises(ConfigurationError, match="by_hand has no tools"):
        scan_module(module)


# Tables


def plain(x: int) -> int:
    """Plain."""
    return x


def test_a_table_holds_schemas_and_handlers_in_the_given_order() -> None:
    named = tool(plain, name="named")
    schemas, handlers = tool_table([plain, named])
    assert list(schemas) == list(handlers) == ["plain", "named"]
    assert schemas["plain"].description == "Plain."
    assert handlers["named"] is named
    assert tool_table([]) == ({}, {})


def test_a_table_refuses_two_tools_of_one_name() -> None:
    with pytest.raises(ToolDefinitionError, match="two tools are named 'plain'"):
        tool_table([plain, tool(plain)])
