"""From a program without an event loop: the result, what is refused, and Ctrl-C, in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.core.parts import Work, spawn

from ecs_agent.core import EndReason, Entity, Runner, World, run_sync, system
from ecs_agent.errors import LoopRunningError

WORLDS = """
    import asyncio, logging, signal, sys, time
    from ecs_agent.components import ConversationComponent, LLMComponent
    from ecs_agent.core import EndReason, Runner, World, run_sync
    from ecs_agent.providers import FakeProvider
    from ecs_agent.systems import ReasoningSystem
    from ecs_agent.types import Message

    logging.getLogger("asyncio").addFilter(lambda record: "Executing" not in record.getMessage())  # a busy machine is no fault of the program

    world = World()
    world.register_system(ReasoningSystem())
    provider = FakeProvider(["word " * COUNT], delay=DELAY, by="word")
    agent = world.create_entity()
    world.add_component(agent, LLMComponent(provider))
    world.add_component(agent, ConversationComponent([Message("user", "hello")]))

    def last():
        message = world.get_component(agent, ConversationComponent).messages[-1]
        return message.role, len(message.content.split()), message.interrupted

    async def began():
        while world.log.next_pos < 20:
            await asyncio.sleep(0.01)
        print("began", flush=True)
"""


class TestResult:
    def test_it_gives_what_the_coroutine_returns(self) -> None:
        async def answer() -> int:
            await asyncio.sleep(0)
            return 42

        assert run_sync(answer()) == 42

    def test_and_raises_what_it_raises(self) -> None:
        async def fail() -> None:
            raise ValueError("bad")

        with pytest.raises(ValueError, match="bad"):
            run_sync(fail())

    def test_a_runner_runs_a_world(self) -> None:
        @system
        async def once(me: Entity, work: Work) -> None:
            work.done.append("x")

        world = World()
        world.register_system(once)
        entity = spawn(world, Work())
        assert Runner().run_sync(world)[entity].reason is EndReason.IDLE
        assert world.get_component(entity, Work) == Work(0, ["x"])
        world.touch(entity)
        Runner().run_sync(world)
        assert world.get_component(entity, Work) == Work(0, ["x", "x"]), "the world goes from one loop to the next"

    def test_within_a_loop_it_says_what_to_write_instead_and_leaves_nothing_unawaited(self) -> None:
        async def answer() -> int:
            return 42

        async def scenario() -> None:
            with pytest.raises(LoopRunningError, match="write 'await …' instead of 'run_sync"):
                run_sync(answer())

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            asyncio.run(scenario())
            gc.collect()

    def test_the_collector_and_the_handler_of_signals_are_as_before(self) -> None:
        before = gc.get_threshold(), gc.get_freeze_count(), signal.getsignal(signal.SIGINT)
        Runner().run_sync(World())
        assert (gc.get_threshold(), gc.get_freeze_count(), signal.getsignal(signal.SIGINT)) == before

    def test_in_another_thread_it_runs_without_a_handler(self) -> None:
        results: list[object] = []
        thread = threading.Thread(target=lambda: results.append(dict(Runner().run_sync(World()))))
        thread.start()
        thread.join()
        assert results == [{}]


def interrupted(program: str, times: int, tmp_path: Path, *, count: int = 200, delay: float = 0.01) -> tuple[int, Sequence[str], str]:
    """Run a program, press Ctrl-C so many times once it has begun, each time when it says so; how it ended and what it said."""
    text = textwrap.dedent(WORLDS).replace("COUNT", str(count)).replace("DELAY", str(delay)) + textwrap.dedent(program)
    process = subprocess.Popen([sys.executable, "-X", "dev", "-W", "error", "-c", text], stdout=-1, stderr=-1, text=True, cwd=tmp_path)
    assert process.stdout is not None
    limit = threading.Timer(30.0, process.kill)
    limit.start()
    try:
        for _ in range(times):
            if process.stdout.readline() == "began\n":
                process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    finally:
        limit.cancel()
        process.kill()
        process.wait()
    return process.returncode, out.splitlines(), err


class TestCtrlC:
    def test_once_lets_every_agent_finish_its_answer(self, tmp_path: Path) -> None:
        program = """
            async def main():
                watching = asyncio.ensure_future(began())
                result = await Runner().run(world)
                await watching
                return result

            print(run_sync(main(), world=world)[agent].reason.value, *last())
        """
        code, out, err = interrupted(program, 1, tmp_path)
        assert (code, out, err) == (0, ["idle assistant 200 False"], "")

    def test_twice_cancels_it_and_keeps_what_had_arrived(self, tmp_path: Path) -> None:
        program = """
            async def main():
                async def watch():
                    await began()
                    while not world.engine.finishing:
                        await asyncio.sleep(0.01)
                    print("began", flush=True)
                watching = asyncio.ensure_future(watch())
                result = await Runner().run(world)
                await watching
                return result

            print(run_sync(main(), world=world)[agent].reason.value, *last())
        """
        code, out, err = interrupted(program, 2, tmp_path, count=100_000)
        assert (code, err) == (0, "")
        reason, role, words, cut = out[0].split()
        assert (reason, role, cut) == ("stopped", "assistant", "True")
        assert 0 < int(words) < 100_000

    def test_the_third_time_it_is_a_keyboard_interrupt(self, tmp_path: Path) -> None:
        program = """
            from ecs_agent.core import system
            from dataclasses import dataclass

            @dataclass
            class Deaf:
                pass

            @system
            async def deaf(deaf: Deaf) -> None:
                for _ in range(3):
                    print("began", flush=True)
                    try:
                        await asyncio.sleep(3.0)
                    except asyncio.CancelledError:
                        pass

            world.delete_entity(agent)
            world.register_system(deaf)
            world.add_component(world.create_entity(), Deaf())

            async def main():
                async def watch():
                    while not world.engine.finishing:
                        await asyncio.sleep(0.01)
                    print("began", flush=True)
                watching = asyncio.ensure_future(watch())
                try:
                    await Runner(grace=2.0).run(world)
                finally:
                    await watching

            try:
                run_sync(main(), world=world)
            except KeyboardInterrupt:
                print("interrupted")
        """
        code, out, err = interrupted(program, 3, tmp_path)
        assert (code, out[-1], err) == (0, "interrupted", "")

    def test_a_runner_does_so_by_itself(self, tmp_path: Path) -> None:
        program = """
            import threading

            def watch():
                while world.log.next_pos < 20:
                    time.sleep(0.01)
                print("began", flush=True)
            threading.Thread(target=watch).start()
            print(Runner().run_sync(world)[agent].reason.value, *last())
        """
        code, out, err = interrupted(program, 1, tmp_path)
        assert (code, out, err) == (0, ["idle assistant 200 False"], "")

    def test_while_no_run_is_active_it_interrupts_at_once(self, tmp_path: Path) -> None:
        program = """
            async def main():
                print("began", flush=True)
                await asyncio.sleep(60.0)

            try:
                run_sync(main(), world=world)
            except KeyboardInterrupt:
                print("interrupted")
        """
        code, out, err = interrupted(program, 1, tmp_path)
        assert (code, out, err) == (0, ["interrupted"], "")
