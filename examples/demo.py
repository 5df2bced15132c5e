"""The demo: the embedded model is asked for the weather, calls a tool, and answers with its result. No key, no server."""

import asyncio
import sys

from ecs_agent import Finished, RunCompleted, TextDelta, ToolCallDelta, ToolExecutionCompleted, World, spawn_agent, tool
from ecs_agent.providers import LocalProvider

BOLD, DIM, PLAIN = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() or "--color" in sys.argv else ("", "", "")


@tool
async def get_weather(city: str) -> str:
    """Get the current weather in a city."""
    return {"Paris": "18 degrees, light rain", "Oslo": "3 degrees, snow"}.get(city, "21 degrees, sunny")


async def main() -> None:
    async with LocalProvider() as provider, World() as world:
        agent = spawn_agent(world, provider, tools=[get_weather], max_tokens=80)
        for question in ("What is the weather in Paris?", "And in Oslo?"):
            print(f"\n{BOLD}you{PLAIN}    {question}\n{BOLD}model{PLAIN}  ", end="", flush=True)
            async for event in agent.run(question):
                match event:
                    case TextDelta(text=text):
                        print(text, end="", flush=True)
                    case ToolCallDelta(arguments=text):
                        print(f"{DIM}{text}{PLAIN}", end="", flush=True)
                    case ToolExecutionCompleted(call=call, text=text):
                        print(f"\n{BOLD}tool{PLAIN}   {call.name}({call.arguments}) -> {text}\n{BOLD}model{PLAIN}  ", end="", flush=True)
                    case Finished(result=result) if result.timing and result.usage and result.finish_reason == "stop":
                        first, speed = result.timing.time_to_first_delta or 0, result.timing.tokens_per_second or 0
                        print(f"\n{DIM}       first token {first:.2f} s, {speed:.0f} tokens/s, {result.usage.total_tokens} tokens{PLAIN}")
                    case RunCompleted(turns=turns):
                        print(f"{DIM}       {turns} turns, {len(agent.messages)} messages in the agent's conversation{PLAIN}")
                    case _:
                        pass


asyncio.run(main())
