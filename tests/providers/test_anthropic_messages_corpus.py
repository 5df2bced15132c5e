"""Our own corpus of the Messages protocol, as it was sent and in one read: the quick half. `test_wire_cases` has every split, cut and writing."""

from __future__ import annotations

import pytest
from tests.providers.families import ANTHROPIC
from tests.providers.wire import Case, check_own, own_cases, run_case


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in own_cases(ANTHROPIC)])
def test_a_case_gives_what_it_must_event_by_event_and_at_once(case: Case) -> None:
    check_own(run_case(case, case.pieces), case.expect)
    check_own(run_case(case, [case.body]), case.expect)
