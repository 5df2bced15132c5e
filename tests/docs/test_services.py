"""The tables of services and of protocols in the documentation are those in the code."""

from __future__ import annotations

import runpy
from pathlib import Path

from ecs_agent.providers import capability_table

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "providers.md"


def test_the_page_lists_the_services_as_they_are() -> None:
    between = f"<!-- services -->\n\n{capability_table()}\n\n<!-- end of services -->"
    assert between in PAGE.read_text("utf-8"), "run python docs/list_services.py"


def test_the_page_lists_what_the_protocols_carry_as_it_is() -> None:
    table = runpy.run_path(str(DOCS / "list_protocols.py"))["protocol_table"]()
    between = f"<!-- protocols -->\n\n{table}\n\n<!-- end of protocols -->"
    assert between in PAGE.read_text("utf-8"), "run python docs/list_protocols.py"
