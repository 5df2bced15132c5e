"""`assert_provider_contract`: everything an agent relies on, held against one provider. A provider that is listed passes all of it.

A behaviour is a function that scripts a server, asks the provider, and says what differs. The table `BEHAVIOURS` names them, so that a test can
run them one by one:

    @pytest.mark.parametrize("behaviour", BEHAVIOURS)
    def test_my_provider(behaviour): run(lambda: BEHAVIOURS[behaviour](Subject(make_provider, "anthropic")))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ecs_agent.providers.protocol import ProviderLike
from ecs_agent.testing import contract_answers, contract_faults
from ecs_agent.testing.contract_subject import Behaviour, Subject
from ecs_agent.testing.laws import BrokenLawError
from ecs_agent.testing.transport import ScriptedTransport
from ecs_agent.testing.wires import WireFamily


async def assert_provider_contract(make: Callable[[ScriptedTransport], ProviderLike], wire: WireFamily = "openai-chat") -> None:
    """Hold a provider against every behaviour of the contract.

    Run it on virtual time: `ecs_agent.testing.run(lambda: assert_provider_contract(make, "anthropic"))`.

    Args:
        make: see `Subject`.
        wire: the protocol that the provider speaks.

    Raises:
        BrokenLawError: the law, and what differed. It is an AssertionError.
    """
    for name, behaviour in BEHAVIOURS.items():
        try:
            await behaviour(Subject(make, wire))
        except BrokenLawError as error:
            raise BrokenLawError(error.law, error.difference, f"behaviour: {name}") from error


BEHAVIOURS: Final[dict[str, Behaviour]] = {
    "text": contract_answers.text,
    "unicode in every split": contract_answers.unicode,
    "reasoning": contract_answers.reasoning,
    "refusal": contract_answers.refusal,
    "an empty turn": contract_answers.empty_turn,
    "stop reasons": contract_answers.stop_reasons,
    "usage totals": contract_answers.usage_totals,
    "tool calls: one, without arguments, parallel": contract_answers.calls,
    "tool calls: invalid and truncated arguments": contract_answers.invalid_arguments,
    "tool results go back": contract_answers.round_trip,
    "an image in a tool result": contract_answers.image_in_a_result,
    "a conversation from anywhere": contract_answers.hand_over,
    "overflow": contract_faults.overflow,
    "errors at every phase": contract_faults.errors,
    "chaos": contract_faults.chaos,
    "leaving at every phase": contract_faults.leaving,
    "wrong options": contract_faults.asked_wrongly,
    "secrets": contract_faults.secrets,
}
"""What a provider must do, by name."""
