"""The `cassette` of a test: records a provider's answers when it is told to, and replays them otherwise."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias, TypeGuard, cast

from ecs_agent.errors import RecordingMissError
from ecs_agent.providers.protocol import ProviderLike
from ecs_agent.providers.recorded.cassette import Cassette
from ecs_agent.providers.recorded.recording import RecordingProvider
from ecs_agent.providers.recorded.replay import ReplayProvider
from ecs_agent.providers.wrapping import model_of, name_of

Mode: TypeAlias = Literal["none", "once", "all"]

_NO_FILE_NAME: Final = re.compile(r"[^\w.-]+")


class UnusedRecordingWarning(UserWarning):
    """A test did not ask what was recorded for it."""


class CassetteFixture:
    """Stands providers before a test's own recording.

    Args:
        path: the file.
        mode: "none" replays it; "once" records it where there is none; "all" records it anew.
    """

    def __init__(self, path: Path, mode: Mode) -> None:
        self.path = path
        self.is_recording = mode == "all" or (mode == "once" and not path.exists())
        self._cassette: Cassette | None = None

    @classmethod
    def of_test(cls, test_file: Path, test: str, mode: Mode) -> Self:
        """That of a test, in `cassettes/<file>/<test>.jsonl` beside its file.

        Args:
            test_file: the file of the test.
            test: its name, with its class and its parameters.
            mode: as of the class.
        """
        name = _NO_FILE_NAME.sub("-", test).strip("-")
        return cls(test_file.parent / "cassettes" / test_file.stem / f"{name}.jsonl", mode)

    def __call__(
        self, provider: ProviderLike | Callable[[], ProviderLike], *, speed: float | None = None, repeat: bool = False
    ) -> RecordingProvider | ReplayProvider:
        """The provider to give to what is tested.

        Args:
            provider: whom to ask while recording; or a function that makes it, which a replay does not call, so that it needs no key.
            speed: of a replay; None waits for nothing.
            repeat: an answer may be given again once all equal requests were answered.

        Raises:
            RecordingMissError: there is no recording, and none is to be made.
        """
        if self._cassette is None:
            self._cassette = self._opened()
        if self.is_recording:
            return RecordingProvider(_made(provider), self._cassette)
        name, model = (name_of(provider), model_of(provider) or None) if _is_provider(provider) else (None, None)
        return ReplayProvider(self._cassette, speed=speed, repeat=repeat, name=name, model=model)

    def _opened(self) -> Cassette:
        if self.is_recording:
            return Cassette(self.path)
        if not self.path.exists():
            raise RecordingMissError(f"this test has no recording {self.path}; make one with --ecs-record=once, which asks the real provider")
        return Cassette.load(self.path)

    def close(self) -> None:
        """Write what was recorded, and report what was not replayed.

        Raises:
            StoreError: something could not be recorded.
        """
        if self._cassette is None:
            return
        if self.is_recording:
            self._cassette.close()
            return
        unused = self._cassette.unused()
        if unused:
            numbers = ", ".join([str(recording.number) for recording in unused])
            warnings.warn(
                f"{len(unused)} of {len(self._cassette.recordings)} recordings in {self.path} were not asked for (numbers {numbers}); "
                "record it anew with --ecs-record=all",
                UnusedRecordingWarning,
                stacklevel=2,
            )


def _is_provider(value: ProviderLike | Callable[[], ProviderLike]) -> TypeGuard[ProviderLike]:
    return callable(getattr(value, "complete", None))


def _made(provider: ProviderLike | Callable[[], ProviderLike]) -> ProviderLike:
    return provider if _is_provider(provider) else cast("Callable[[], ProviderLike]", provider)()
