"""The table of services in the documentation is the one in the code."""

from __future__ import annotations

from pathlib import Path

from ecs_agent.providers import capability_table

PAGE = Path(__file__).parents[2] / "docs" / "providers.md"


def test_the_page_lists_the_services_as_they_are() -> None:
    between = f"<!-- services -->\n\n{capability_table()}\n\n<!-- end of services -->"
    assert between in PAGE.read_text("utf-8"), "run python docs/list_services.py"
