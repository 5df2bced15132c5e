"""Stores as the command line names them: a file, and perhaps a position in it, as in `run.db@120`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ecs_agent.errors import ConfigurationError
from ecs_agent.store.fact_data import FactData
from ecs_agent.store.recording import Recording


def opened(path: str) -> Recording:
    """The recording in a file.

    Raises:
        ConfigurationError: there is no such file.
        StoreFormatError: it is no store.
    """
    if not Path(path).is_file():
        raise ConfigurationError(f"there is no store {path}")
    return Recording.open(path)


@dataclass(frozen=True, slots=True)
class StorePlace:
    """A store, and the position of the fact behind which it is looked at; None for its end."""

    path: str
    pos: int | None = None

    @property
    def words(self) -> str:
        """How it is written."""
        return self.path if self.pos is None else f"{self.path}@{self.pos}"

    @classmethod
    def parsed(cls, words: str) -> StorePlace:
        """What `PATH` or `PATH@POS` names. A file with such a name comes first.

        Raises:
            ConfigurationError: there is no such file, or what stands behind the @ is no position.
        """
        path, at, pos = words.rpartition("@")
        if not at or Path(words).is_file():
            path, pos = words, ""
        if not Path(path).is_file():
            raise ConfigurationError(f"there is no store {path}")
        if at and path != words and not pos.isdecimal():
            raise ConfigurationError(f"{pos!r} is no position in {path}; give a number, as in {path}@120")
        return cls(path, int(pos) if pos else None)


@dataclass(frozen=True, slots=True)
class Limit:
    """Where to stop, as the options say it: a position, a fact of an entity, or the first fact of a type; each of them included.

    Attributes:
        pos: a position.
        seq: `ENTITY:SEQ`.
        kind: the type of an event, or of a component that came, changed or went.
    """

    pos: int | None = None
    seq: str | None = None
    kind: str | None = None

    def end_in(self, recording: Recording, path: str) -> int | None:
        """The position behind which to stop; None when nothing was said.

        Raises:
            ConfigurationError: there is no such fact, or more than one place was named.
        """
        if sum(each is not None for each in (self.pos, self.seq, self.kind)) > 1:
            raise ConfigurationError("name one place to stop at: --until, --until-seq or --until-type")
        if self.pos is not None:
            if not 0 <= self.pos < recording.end:
                raise ConfigurationError(f"{path} has no position {self.pos}; its last one is {recording.end - 1}")
            return self.pos + 1
        if self.seq is not None:
            return self._end_of_seq(recording, path, self.seq)
        if self.kind is not None:
            return self._end_of_kind(recording, path, self.kind)
        return None

    @staticmethod
    def _end_of_seq(recording: Recording, path: str, place: str) -> int:
        entity, _, seq = place.partition(":")
        if not entity.isdecimal() or not seq.isdecimal():
            raise ConfigurationError(f"--until-seq is {place!r}; give an entity and the number of one of its facts, as in 3:17")
        return pos_behind(recording, path, int(entity), int(seq))

    @staticmethod
    def _end_of_kind(recording: Recording, path: str, kind: str) -> int:
        for fact in recording.facts():
            if is_of_type(fact, kind):
                return fact.pos + 1
        raise ConfigurationError(f"{path} has no fact of the type {kind}")


def is_of_type(fact: FactData, kind: str) -> bool:
    """Whether a fact is of this type, or tells what became of a component of this type."""
    return fact.type == kind or (fact.change is not None and fact.change[0] != "add" and fact.change[1] == kind)


def pos_behind(recording: Recording, path: str, entity: int, seq: int) -> int:
    """The position behind a fact of an entity.

    Raises:
        ConfigurationError: there is none.
    """
    for fact in recording.facts():
        if fact.entity == entity and fact.seq <= seq < fact.seq + fact.count:
            return fact.pos + seq - fact.seq + 1
    raise ConfigurationError(f"{path} has no fact {seq} of entity {entity}")
