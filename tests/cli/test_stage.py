"""Who has the floor when several speak at once."""

from __future__ import annotations

import io

from ecs_agent.cli.narration import Remark, Seen, Speech, SpeechOver
from ecs_agent.cli.stage import Stage
from ecs_agent.cli.terminal import Terminal


def shown(*scene: Seen, names: dict[int, str] | None = None) -> list[str]:
    file = io.StringIO()
    stage = Stage(Terminal(file, color=False), names or {})
    for second, seen in enumerate(scene):
        stage.show(seen, float(second))
    stage.end()
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_one_who_speaks_alone_is_heard_as_it_comes() -> None:
    assert shown(Speech(1, "Hello "), Speech(1, "you."), SpeechOver(1)) == ["    0.00 agent 1: Hello you."]


def test_who_has_a_name_goes_by_it() -> None:
    assert shown(Speech(1, "Hello."), names={1: "scout\x1b[2J one"}) == ["    0.00 scout one: Hello."]


def test_lines_behind_the_first_are_indented() -> None:
    assert shown(Speech(1, "one\ntwo"), Speech(1, "\nthree\n"), SpeechOver(1), Remark(1, "done")) == [
        "    0.00 agent 1: one",
        "         two",
        "         three",
        "    3.00 agent 1: done",
    ]


def test_what_others_say_meanwhile_is_shown_when_they_end() -> None:
    assert shown(
        Speech(1, "I am "), Speech(2, "So "), Speech(1, "first."), Speech(2, "am I."), SpeechOver(2), Speech(1, " And last."), SpeechOver(1)
    ) == [
        "    0.00 agent 1: I am first.",
        "    4.00 agent 2: So am I.",
        "    5.00 agent 1:  And last.",
    ]


def test_or_when_it_fills_a_line_or_ends_one() -> None:
    long = "word " * 50
    assert shown(Speech(1, "I "), Speech(2, long), Speech(3, "short\n"), Speech(1, "go on"))[1:] == [
        f"    1.00 agent 2: {long}".rstrip(),
        "    2.00 agent 3: short",
        "    3.00 agent 1: go on",
    ]


def test_the_one_who_waited_goes_on_when_the_floor_is_free() -> None:
    assert shown(Speech(1, "I am."), Speech(2, "So "), SpeechOver(1), Speech(2, "am I.")) == ["    0.00 agent 1: I am.", "    3.00 agent 2: So am I."]


def test_nobody_is_left_out_at_the_end() -> None:
    assert shown(Speech(1, "I am"), Speech(2, "So")) == ["    0.00 agent 1: I am", "    1.00 agent 2: So"]


def test_remarks_stand_on_lines_of_their_own() -> None:
    assert shown(Speech(1, "Let me "), Remark(2, "look\nup", mark=" →"), Speech(1, "see."), Remark(None, "(over)")) == [
        "    0.00 agent 1: Let me",
        "    1.00 agent 2 → look up",
        "    2.00 agent 1: see.",
        "    3.00 (over)",
    ]


def test_an_escape_sequence_in_two_pieces_does_not_get_through() -> None:
    assert shown(Speech(1, "a\x1b[3"), Speech(1, "1mb"), SpeechOver(1)) == ["    0.00 agent 1: ab"]
    assert shown(Speech(1, "a\x1b["), SpeechOver(1)) == ["    0.00 agent 1: a␛["]
