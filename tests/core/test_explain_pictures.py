"""Drawing a schedule: the flowchart for Mermaid, and the picture that needs nothing else."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

from tests.core.test_explain import Box, Counting, Greeting, Lid, explain, fill, look, named, peek

from ecs_agent.core import system
from ecs_agent.core.explain.explanation import Explanation
from ecs_agent.core.explain.mermaid import MAX_ARROWS


def test_mermaid_has_lanes_by_priority_and_arrows_from_who_writes_to_whom_it_concerns() -> None:
    @system(priority=1)
    async def close(box: Box, lid: Lid) -> None: ...

    assert explain(fill, peek, close, (Counting(), 1), (Greeting(), 2)).mermaid().splitlines() == [
        "flowchart TD",
        '    subgraph p0["priority 0"]',
        '        s0["fill<br/>after a change"]',
        '        s1["peek<br/>after a change"]',
        "    end",
        '    subgraph p1["priority 1"]',
        '        s2[["Counting<br/>barrier: every agent waits here for all others#59; an entity system does not"]]',
        '        s3["close<br/>after a change"]',
        "    end",
        '    subgraph p2["priority 2"]',
        '        s4[["Greeting<br/>runs as soon as somebody arrives, waits for nobody"]]',
        "    end",
        "    p0 ~~~ p1",
        "    p1 ~~~ p2",
        '    s0 -->|"Box"| s1',
        '    s0 <-->|"Box"| s3',
        '    s3 -->|"Box"| s1',
        '    s1 -.->|"Lid"| s3',
        "    classDef barrier fill:#fff1f2,stroke:#9f1239,stroke-width:3px,color:#9f1239",
        "    class s2 barrier",
        "    classDef arrived stroke:#52606d,stroke-dasharray:5 4",
        "    class s4 arrived",
        "    classDef ambiguous stroke:#b45309,stroke-width:2px",
        "    class s0,s1 ambiguous",
    ]


def test_mermaid_draws_a_bounded_number_of_arrows() -> None:
    drawn = explain(*[named(f"s{number}") for number in range(25)]).mermaid()
    assert drawn.count("<-->") == MAX_ARROWS
    assert f"%% and {25 * 24 // 2 - MAX_ARROWS} more arrows" in drawn


HOSTILE = "\"]; <script>alert(1)</script> & `x` | # %%{init}%% \\ 'end"


def test_names_cannot_leave_their_labels_in_mermaid() -> None:
    (label,) = re.findall(r'^        s0\["(.*)<br/>after a change"\]$', explain(named(HOSTILE)).mermaid(), re.MULTILINE)
    assert not set(re.sub(r"#\d+;", "", label)) & set('"<>;&`|#%{}\\*')
    assert re.sub(r"#(\d+);", lambda number: chr(int(number[1])), label) == HOSTILE


def drawn(explanation: Explanation) -> ET.Element:
    return ET.fromstring(explanation.svg())


def texts(picture: ET.Element, name: str = "text") -> list[str]:
    return ["".join(node.itertext()) for node in picture.iter(f"{{http://www.w3.org/2000/svg}}{name}")]


def test_the_picture_holds_nothing_but_shapes_and_texts() -> None:
    explanation = explain(fill, named(HOSTILE), look, Counting(), Greeting())
    assert {node.tag.partition("}")[2] for node in drawn(explanation).iter()} == {
        "svg",
        "title",
        "rect",
        "text",
        "tspan",
        "line",
        "path",
        "circle",
        "g",
    }
    for word in ("href", "style=", "@import", "url(", "<script"):
        assert word not in explanation.svg()


def test_names_are_escaped_in_the_picture_and_whole_in_the_tooltip() -> None:
    kind: Any = type(HOSTILE, (), {})

    @system
    async def one(it: kind) -> None: ...

    picture = drawn(explain(named(HOSTILE, one)))
    assert f"{HOSTILE}, after a change; requires {HOSTILE}" in texts(picture, "title")
    assert HOSTILE in texts(picture)


def test_the_picture_has_every_system_component_and_priority_once() -> None:
    shown = texts(drawn(explain(fill, (look, 5), (Counting(), 7))))
    for word in ("fill", "look", "Box", "Style", "priority 0", "priority 5", "priority 7"):
        assert shown.count(word) == 1, word
    assert any(words.startswith("Counting") and "barrier: every agent waits" in words for words in shown)


def test_lanes_go_down_by_priority_and_a_barrier_is_a_bar_across_the_components() -> None:
    picture = drawn(explain((fill, 5), (Counting(), 3), (look, 1)))
    heights = {"".join(node.itertext()): float(node.get("y", "")) for node in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert heights["priority 1"] < heights["priority 3"] < heights["priority 5"]
    assert heights["look"] < heights["fill"]
    (bar,) = [node for node in picture.iter("{http://www.w3.org/2000/svg}rect") if node.get("fill") == "#9f1239"]
    (thick,) = [node for node in picture.iter("{http://www.w3.org/2000/svg}line") if node.get("stroke-width") == "3"]
    left, top = float(bar.get("x", "")), float(bar.get("y", ""))
    assert left < float(thick.get("x1", "")) < left + float(bar.get("width", ""))
    assert float(thick.get("y1", "")) < top < float(thick.get("y2", ""))


def arrows(explanation: Explanation) -> list[str]:
    """Which way the arrows point, from top to bottom."""
    paths = [node.get("d", "") for node in drawn(explanation).iter("{http://www.w3.org/2000/svg}path")]
    heads = [(int(found[1]), found[2]) for path in paths if (found := re.match(r"M\d+ (\d+) l-6 (-?8) h12 z", path))]
    return ["down" if away == "-8" else "up" for _, away in sorted(heads)]


def test_arrows_lead_from_who_writes_to_whom_it_concerns() -> None:
    assert arrows(explain(fill, (peek, 1))) == ["down"]
    assert arrows(explain(peek, (fill, 1))) == ["up"]
    assert arrows(explain(fill, (named("empty"), 1))) == ["up", "down"]
    assert arrows(explain(look, (peek, 1))) == []


def test_all_that_is_drawn_lies_inside_of_the_picture() -> None:
    picture = drawn(
        explain(named("a_name_that_is_much_too_long_to_fit_into_the_box_of_a_system_and_is_cut"), named(HOSTILE), look, Counting(), Greeting())
    )
    width, height = float(picture.get("width", "")), float(picture.get("height", ""))
    for node in picture.iter():
        assert 0 <= float(node.get("x", 0)) + float(node.get("width", 0) if node is not picture else 0) <= width
        assert 0 <= float(node.get("y", 0)) + float(node.get("height", 0) if node is not picture else 0) <= height
    assert any(text.endswith("\N{HORIZONTAL ELLIPSIS}") and text.startswith("a_name_that_is") for text in texts(picture))


def test_an_empty_schedule_can_be_drawn() -> None:
    assert texts(drawn(explain()))[0] == "Schedule"
    assert explain().mermaid() == "flowchart TD\n"


def test_a_few_ambiguities_are_told_below_the_picture_and_the_number_of_the_others() -> None:
    shown = texts(drawn(explain(*[named(f"s{number:02}") for number in range(12)])))
    assert "! s00 and s01: only the order of registration decides about Box" in shown
    assert shown[-1] == "! and 60 more"
    assert shown.count("!") == 12
