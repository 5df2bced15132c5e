"""The page of scheduler rules: it names every rule, and every test that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

from ecs_agent.core import EndReason

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "scheduler.md").read_text(encoding="utf-8")
RULES = dict(re.findall(r"^\*\*(\d+)\. (.*?)(?=^\*\*\d|^Over all|\Z)", PAGE, re.MULTILINE | re.DOTALL))
TESTS = {name for file in HERE.glob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))}


def test_all_twenty_rules_stand_there() -> None:
    assert list(RULES) == [str(number) for number in range(1, 21)]


def test_every_rule_names_its_tests_or_says_that_it_does_not_hold_yet() -> None:
    for number, text in RULES.items():
        assert "`test_" in text or "*Not yet.*" in text, f"rule {number}"


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert named - TESTS == set()


def test_a_test_that_carries_the_number_of_a_rule_carries_that_of_one_that_holds() -> None:
    numbers = {re.match(r"test_rule_(\d+)_", name)[1] for name in TESTS if name.startswith("test_rule_")}  # type: ignore[index]
    assert {number for number, text in RULES.items() if "*Not yet.*" not in text} == numbers


def test_every_reason_of_an_end_stands_in_the_table_of_rule_15() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", RULES["15"], re.MULTILINE)) == {reason.value for reason in EndReason}
