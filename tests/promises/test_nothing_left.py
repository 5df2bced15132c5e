"""P6: nothing is left over: no task, socket, descriptor or coroutine nobody awaited, after a close or after a `break` once the last reference
is gone, in whatever order a program ends things.

Each program runs by itself, as a user would write it, with every warning an error and asyncio's debug mode on. What the interpreter says on
standard error is what is left; the program itself says how many tasks and descriptors there are.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PREAMBLE = """
import asyncio, gc, os, socket
import ecs_agent.providers.http.aiohttp_transport
from ecs_agent.errors import *
from ecs_agent.providers import OpenAIProvider
from ecs_agent.testing import LoopbackServer, Reply, chat_reply, chunk, error_reply
from ecs_agent.types import Message

HI = [Message("user", "Hi")]
STALL = chat_reply("one two three", finish=False, end="stall")

def descriptors():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

def provider_for(server, **options):
    return OpenAIProvider("k", server.base_url, "m", **options)

def tasks():
    return len(asyncio.all_tasks())

async def settled(server):
    for request in server.requests:
        await asyncio.wait_for(request.closed.wait(), 5)
    await asyncio.sleep(0.05)  # the server's side of the connections ends a few turns later

async def said(provider, **options):
    return "".join([delta.content or "" async for delta in await provider.complete(HI, stream=True, **options)])
"""

ENDINGS = {
    "the last reference goes after a break": """
        async for delta in await provider.complete(HI, stream=True):
            break
    """,
    "break out of the text": """
        async for text in (await provider.complete(HI, stream=True)).text():
            break
    """,
    "break out of the events": """
        async for event in (await provider.complete(HI, stream=True)).events():
            break
    """,
    "a stream that nobody reads": """
        await provider.complete(HI, stream=True)
    """,
    "a stream that failed half way": """
        stream = await provider.complete(HI, stream=True, read_timeout=0.05)
        try:
            async for _ in stream: pass
        except ProviderTimeoutError: pass
    """,
    "a cancelled reader": """
        stream = await provider.complete(HI, stream=True)
        async def read():
            async for _ in stream: pass
        reading = asyncio.create_task(read())
        await asyncio.sleep(0.02)
        reading.cancel()
        try: await reading
        except asyncio.CancelledError: pass
    """,
    "a cancelled question": """
        asking = asyncio.create_task(provider.complete(HI))
        await asyncio.sleep(0.02)
        asking.cancel()
        try: await asking
        except asyncio.CancelledError: pass
    """,
    "closed while somebody reads": """
        stream = await provider.complete(HI, stream=True)
        async def read():
            return [delta async for delta in stream]
        reading = asyncio.create_task(read())
        await asyncio.sleep(0.02)
        await stream.aclose()
        await reading
    """,
}


def run(program: str) -> str:
    """The output of a program that leaves nothing behind."""
    environment = {**os.environ, "PYTHONASYNCIODEBUG": "1"}
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", PREAMBLE + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert ran.stderr == ""
    assert ran.returncode == 0
    return ran.stdout


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_stream_that_was_left_leaves_no_task_and_no_descriptor(ending: str) -> None:
    out = run(f"""
async def leave(provider):
{textwrap.indent(textwrap.dedent(ending), "    ")}

async def main():
    asyncio.get_running_loop().slow_callback_duration = 30
    async with LoopbackServer([STALL]) as server, provider_for(server) as provider:
        await leave(provider)
        await settled(server)
        before = descriptors()
        for _ in range(20):
            await leave(provider)
        await settled(server)
        assert provider._client._slots.open == 0, "a stream of the limit is lost"
        print(descriptors() - before, tasks())

asyncio.run(main())
""")
    assert out == "0 1\n"


def test_many_answers_and_failures_leave_no_more_than_the_idle_connection() -> None:
    out = run("""
async def main():
    asyncio.get_running_loop().slow_callback_duration = 30
    replies = [chat_reply("fine"), error_reply(429, "slow down"), Reply([b"<html>"], 200, {"content-type": "text/html"}), Reply([b"data: {"], end="reset")]
    async with LoopbackServer(replies * 50) as server:
        before = descriptors()
        async with provider_for(server) as provider:
            for _ in range(50):
                assert await said(provider) == "fine"
                for _ in range(3):
                    try: await said(provider)
                    except ProviderError: pass
        await settled(server)
        print(descriptors() - before, tasks())

asyncio.run(main())
""")
    assert out == "0 1\n"


PROGRAMS = {
    "nothing is closed": """
async def main():
    asyncio.get_running_loop().slow_callback_duration = 30
    async with LoopbackServer([chat_reply("fine")]) as server:
        provider = provider_for(server)
        print(await said(provider))
asyncio.run(main())
""",
    "the stream outlives the loop": """
kept = []
async def main():
    asyncio.get_running_loop().slow_callback_duration = 30
    async with LoopbackServer([STALL]) as server:
        provider = provider_for(server)
        stream = await provider.complete(HI, stream=True)
        kept.append(stream)
        print((await anext(stream)).content)
asyncio.run(main())
print(kept.pop().result().message.interrupted)
gc.collect()
""",
    "the stream outlives everything": """
async def main():
    global stream
    asyncio.get_running_loop().slow_callback_duration = 30
    async with LoopbackServer([STALL]) as server:
        stream = await provider_for(server).complete(HI, stream=True)
        print((await anext(stream)).content)
asyncio.run(main())
""",
    "the main task is cancelled": """
async def main():
    asyncio.get_running_loop().slow_callback_duration = 30
    async with LoopbackServer([STALL]) as server:
        stream = await provider_for(server).complete(HI, stream=True)
        asyncio.get_running_loop().call_later(0.05, asyncio.current_task().cancel)
        async for delta in stream:
            print(delta.content, end="")
try: asyncio.run(main())
except asyncio.CancelledError: print("cancelled")
""",
    "one provider, loops one after another": """
provider = OpenAIProvider("k", "http://127.0.0.1:1/v1", "m")
async def main(number):
    asyncio.get_running_loop().slow_callback_duration = 30
    async with LoopbackServer([chat_reply("fine"), STALL]) as server:
        provider.base_url = server.base_url
        said_then = await said(provider)
        async for _ in await provider.complete(HI, stream=True):
            break
        return said_then
before = descriptors()
print([asyncio.run(main(number)) for number in range(5)], descriptors() - before, len(provider._client._transport._sessions) <= 1)
""",
    "loops that are closed by hand": """
provider = OpenAIProvider("k", "http://127.0.0.1:1/v1", "m")
async def main():
    asyncio.get_running_loop().slow_callback_duration = 30
    async with LoopbackServer([chat_reply("fine")]) as server:
        provider.base_url = server.base_url
        return await said(provider)
for _ in range(3):
    loop = asyncio.new_event_loop()
    print(loop.run_until_complete(main()))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
""",
    "a provider that was never used": """
OpenAIProvider("k", "http://127.0.0.1:1/v1", "m")
async def main():
    async with OpenAIProvider("k", "http://127.0.0.1:1/v1", "m") as provider:
        await provider.aclose()
asyncio.run(main())
""",
    "a provider that is closed under its streams": """
async def main():
    asyncio.get_running_loop().slow_callback_duration = 30
    async with LoopbackServer([STALL]) as server:
        provider = provider_for(server)
        stream = await provider.complete(HI, stream=True)
        await anext(stream)
        await provider.aclose()
        try:
            async for _ in stream: pass
        except StreamInterruptedError as error: print(error.partial.message.interrupted)
        await settled(server)
        print(tasks())
asyncio.run(main())
""",
    "a provider that is closed while somebody reads": """
async def main():
    asyncio.get_running_loop().slow_callback_duration = 30
    async with LoopbackServer([STALL]) as server:
        provider = provider_for(server)
        reading = asyncio.create_task(said(provider))
        await asyncio.sleep(0.05)
        await provider.aclose()
        try: await asyncio.wait_for(reading, 2)
        except StreamInterruptedError as error: print(error.partial.message.content)
asyncio.run(main())
""",
}


@pytest.mark.parametrize(("name", "out"), [
    ("nothing is closed", "fine\n"),
    ("the stream outlives the loop", "one \nTrue\n"),
    ("the stream outlives everything", "one \n"),
    ("the main task is cancelled", "one two threecancelled\n"),
    ("one provider, loops one after another", "['fine', 'fine', 'fine', 'fine', 'fine'] 0 True\n"),
    ("loops that are closed by hand", "fine\nfine\nfine\n"),
    ("a provider that was never used", ""),
    ("a provider that is closed under its streams", "True\n1\n"),
])  # fmt: skip
def test_a_program_ends_without_a_word_of_complaint(name: str, out: str) -> None:
    assert run(PROGRAMS[name]) == out


def test_what_a_program_leaves_is_seen() -> None:
    leaves_a_socket = "s = socket.socket(); del s; gc.collect()"
    with pytest.raises(AssertionError, match="unclosed <socket"):
        run(leaves_a_socket)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system does not list the open files of a process")
def test_a_descriptor_that_is_left_is_counted() -> None:
    assert run("before = descriptors(); kept = socket.socket(); print(descriptors() - before); kept.close()") == "1\n"
