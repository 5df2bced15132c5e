"""Run the demo and draw what it printed as docs/demo.svg: `python docs/capture_demo.py`, needs the extra [cli] and the embedded model."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Capture the demo."""
    shown = subprocess.run([sys.executable, str(ROOT / "examples" / "demo.py"), "--color"], cwd=ROOT, capture_output=True, text=True, check=True)
    with (Path("/dev/null")).open("w") as nowhere:
        console = Console(record=True, width=92, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi("$ make demo\n" + shown.stdout))
        drawn = console.export_svg(title="ecs_agent")
    drawn = re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL)  # a picture in a page loads nothing from elsewhere
    (ROOT / "docs" / "demo.svg").write_text(drawn, "utf-8")


if __name__ == "__main__":
    main()
