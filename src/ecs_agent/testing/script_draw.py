"""Scripts drawn from a seed: everything an answer can hold, in orders nobody would think of."""

from __future__ import annotations

import random

from ecs_agent.providers.script import Script, Step
from ecs_agent.testing.wires import WireFamily, writer_of
from ecs_agent.types import FinishReason, JsonObject, ReasoningPart, RefusalPart, ToolCall, Usage

_WORDS = (
    *("once", "upon", "a", "time", "naïve", "漢字", "🙂", "e\u0301", "Ω", "👩\u200d👩\u200d👧", "\u2028", "\x00", "line\nline", "tab\t", "\r\n\r\n"),
    *("", '"quoted"', "\\", "data: x", "[DONE]", ": ping", "{}", "null"),
)
_NO_OBJECTS = ("", "{", '{"city": "Os', "no JSON", "[1]", '{"a": 1}}', "null")


def random_script(seed: int, wire: WireFamily = "openai-chat") -> Script:
    """Draw an answer that says at least something: texts, reasoning, refusals, tool calls also with broken arguments, pauses and usage.

    What a protocol has no words for is left out.
    """
    writer = writer_of(wire)
    draw = random.Random(seed * 2 + 1)  # noqa: S311 - a script, not a secret; another stream of numbers than that of the plan
    steps: list[Step] = [_step(draw, place) for place in range(draw.randint(1, 6))]
    steps.append(f"{draw.choice(_WORDS)}.")
    draw.shuffle(steps)
    usage = Usage(draw.randint(0, 500), draw.randint(0, 500), draw.randint(0, 1000), draw.choice((None, 3)), draw.choice((None, 5)))
    finish: FinishReason | None = draw.choice((None, None, None, None, "length", "content_filter", "pause"))
    told = usage if draw.random() < 0.8 else None
    return Script(steps=[step for step in steps if writer.can_say(step)], usage=told, finish_reason=finish if finish in writer.finishes else None)


def _step(draw: random.Random, place: int) -> Step:
    match draw.choice(("text", "text", "reasoning", "call", "call", "call", "refusal", "pause", "usage")):
        case "text":
            return _text(draw)
        case "reasoning":
            return ReasoningPart(_text(draw))
        case "refusal":
            return RefusalPart(_text(draw))
        case "pause":
            return draw.randint(1, 3) / 1000
        case "usage":
            return Usage(1, draw.randint(1, 9), 10)
        case _:
            name = draw.choice(("look_up", "add"))
            if draw.random() < 0.15:
                return ToolCall(f"call_{place}", name, raw_arguments=draw.choice(_NO_OBJECTS))
            return ToolCall(f"call_{place}", name, _object(draw))


def _text(draw: random.Random) -> str:
    return " ".join(draw.choices(_WORDS, k=draw.randint(1, 12)))


def _object(draw: random.Random) -> JsonObject:
    values = (1, None, True, 2.5, _text(draw), [1, {"deep": _text(draw)}])
    return {name: draw.choice(values) for name in draw.sample(("a", "b", "städte"), draw.randint(0, 3))}
