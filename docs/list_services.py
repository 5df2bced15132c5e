"""List the services that are known by name: `python docs/list_services.py` renews the table in docs/providers.md."""

from __future__ import annotations

import re
from pathlib import Path

from ecs_agent.providers import capability_table

PAGE = Path(__file__).parent / "providers.md"
TABLE = re.compile(r"(?<=^<!-- services -->\n\n).*?(?=\n\n<!-- end of services -->$)", re.DOTALL | re.MULTILINE)


def main() -> None:
    """Renew it."""
    PAGE.write_text(TABLE.sub(lambda _: capability_table(), PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
