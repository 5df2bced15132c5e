"""Tools: typed functions that the model may ask for; those of one turn run side by side."""

import asyncio

from ecs_agent import CompletionResult, Message, TextDelta, ToolCall, ToolExecutionCompleted, World, spawn_agent, tool
from ecs_agent.providers import FakeProvider


@tool
async def get_weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: Where, as in "Paris".
    """
    await asyncio.sleep(0.05)
    return f"{city}: 18 degrees, light rain"


async def main() -> None:
    both = [ToolCall("call_1", "get_weather", {"city": "Paris"}), ToolCall("call_2", "get_weather", {"city": "Oslo"})]
    provider = FakeProvider([CompletionResult(Message("assistant", "Let me look.", both)), "Rain in both. Take an umbrella."])
    async with World() as world:
        agent = spawn_agent(world, provider, tools=[get_weather])
        async for event in agent.run("Paris or Oslo?"):
            match event:
                case TextDelta(text=text):
                    print(text, end="", flush=True)
                case ToolExecutionCompleted(call=call, text=text, seconds=seconds):
                    print(f"\n  {call.name}({call.arguments['city']}) -> {text} ({seconds:.2f} s)")
                case _:
                    pass
    print()


asyncio.run(main())
