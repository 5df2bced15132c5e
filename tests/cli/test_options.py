"""The command line is read strictly: what is wrong is one sentence that says what to do, and no key ever stands in it."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.commands import CHOICES

from ecs_agent import __version__
from ecs_agent.cli.__main__ import main
from ecs_agent.cli.echo import EchoProvider
from ecs_agent.cli.options import Settings, read_key
from ecs_agent.errors import ConfigurationError
from ecs_agent.providers import LocalProvider, OpenAIProvider
from ecs_agent.providers.local import weights as local_weights

CANARY = "sk-canary-4711"
SERVER = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def an_empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if CHOICES.match(name) or name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(local_weights, "find", lambda: None)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.chdir(tmp_path)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The sentence with which a command line is refused."""
    code = main(words)
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert re.fullmatch(r"error: [^\n]+\n", err)
    return err.removeprefix("error: ").rstrip("\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["chat", "--bogus"], "No such option: --bogus. Try `ecs-agent chat --help`."),
        (["bogus"], "No such command 'bogus'. Try `ecs-agent --help`."),
        (["local", "bogus"], "No such command 'bogus'. Try `ecs-agent local --help`."),
        (["run", "one", "two"], "unexpected extra argument"),
        (["run", "hi", "--max-tokens", "0"], "--max-tokens"),
        (["run", "hi", "--max-tokens", "many"], "--max-tokens"),
        (["run", "hi", "--temperature", "-1"], "--temperature"),
        (["run", "hi", "--temperature", "inf"], "--temperature"),
        (["run", "hi", "--temperature", "nan"], "--temperature"),
        (["run", "-m", "fake"], "nothing to ask"),
        (["run", "-m", "fake", "  "], "nothing to ask"),
        (["run", "hi", "-m", "fake", "--tools", "no_such_module"], "there is no module 'no_such_module'"),
        (["run", "hi", "-m", "fake", "--tools", "missing.py"], "there is no Python file"),
        (["run", "hi", "-m", "fake", "--base-url", SERVER], "--base-url is for models on a server; fake is none"),
        (["run", "hi", "-m", "local", "--api-key-file", "key"], "ecs-agent local install"),
        (["run", "hi", "-m", "local"], "ecs-agent local install"),
        (["run", "hi", "-m", "missing.gguf"], "there is no model file missing.gguf"),
        (["run", "hi", "-m", "gpt-5"], "no API key for api.openai.com; set OPENAI_API_KEY, or give --api-key-file PATH"),
        (["run", "hi", "-m", "claude-sonnet-4-5"], "as in 'anthropic/claude-sonnet-4-5'"),
        (["chat", "-m", "anthropic"], "'anthropic' names a service and none of its models; write it as 'service/model': 'anthropic/…'"),
        (["run", "hi", "-m", "gpt-5", "--base-url", "nonsense"], "--base-url 'nonsense' is no URL"),
        (["run", "hi", "-m", "gpt-5", "--api-key-file", "missing"], "--api-key-file missing cannot be read: No such file or directory"),
        (["run", "hi"], "no model is chosen"),
        (["chat"], "no model is chosen"),
        (["chat", "--base-url", SERVER], "no model is chosen"),
    ],
)
def test_what_is_wrong_is_one_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sentence in refused(capsys, *words)


def test_without_a_model_the_three_ways_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    sentence = refused(capsys, "chat")
    assert all(way in sentence for way in ("LLM_MODEL", "--base-url", "OPENAI_API_KEY", "'local'", "ecs-agent local install", ".gguf"))


@pytest.mark.parametrize(
    "words",
    [
        ["run", "hi", "--api-key", CANARY],
        ["run", "hi", f"--api-key={CANARY}"],
        ["--api-key", CANARY, "chat"],
        ["chat", "--api-key"],
    ],
)
def test_a_key_is_not_taken_from_the_command_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    sentence = refused(capsys, *words)
    assert sentence.startswith("a key is never given on the command line")
    assert "OPENAI_API_KEY" in sentence
    assert "--api-key-file" in sentence
    assert CANARY not in sentence


def test_a_word_behind_two_dashes_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-m", "fake", "--", "--api-key"]) == 0
    assert capsys.readouterr().out == "I am no model, I repeat. You said: --api-key\n"


def test_a_key_file_holds_one_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"\n{CANARY}\r\n")
    key = read_key(path)
    assert key.reveal() == CANARY
    assert CANARY not in repr(key)


@pytest.mark.parametrize("content", [b"", b"\n", b"%b\n%b" % ((CANARY.encode(),) * 2), b"OPENAI_API_KEY = x", b"\xff\xfe", b"x" * 20_000])
def test_a_file_with_anything_else_is_refused_and_not_shown(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        read_key(path)
    assert str(path) in str(caught.value)
    assert CANARY not in str(caught.value)


def test_the_model_is_the_one_named_else_that_of_the_environment_else_the_embedded_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Settings(model="a").model_name() == "a"
    monkeypatch.setattr(local_weights, "find", lambda: tmp_path)
    monkeypatch.setattr("ecs_agent.cli.options.find_spec", lambda _: object())
    assert Settings().model_name() == "local"
    with pytest.raises(ConfigurationError, match="no model is chosen"):
        Settings(base_url=SERVER).model_name()
    monkeypatch.setenv("LLM_MODEL", "b")
    assert Settings().model_name() == "b"
    assert Settings(model="a").model_name() == "a"


def test_the_kind_of_provider_follows_from_the_model(tmp_path: Path) -> None:
    weights = tmp_path / "Tiny.GGUF"
    weights.write_bytes(b"GGUF")
    assert isinstance(Settings(model="fake").provider(), EchoProvider)
    assert isinstance(Settings(model=str(weights)).provider(), LocalProvider)
    assert isinstance(Settings(model="any", base_url=SERVER).provider(), OpenAIProvider)


class TestServices:
    """A known service before the first slash, unless the whole is the name of a model on a server of one's own."""

    @pytest.fixture(autouse=True)
    def keys(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GROQ_API_KEY", CANARY)

    @pytest.mark.parametrize("named", ["argument", "LLM_MODEL"])
    def test_it_is_asked_with_its_own_key(self, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
        if named == "LLM_MODEL":
            monkeypatch.setenv("LLM_MODEL", "groq/qwen/qwen3-32b")
        provider = Settings(model="groq/qwen/qwen3-32b" if named == "argument" else None).provider()
        assert isinstance(provider, OpenAIProvider)
        assert (provider.name, provider.model, provider.base_url) == ("groq", "qwen/qwen3-32b", "https://api.groq.com/openai/v1")

    def test_services_on_this_machine_need_nothing(self) -> None:
        provider = Settings(model="ollama/qwen3").provider()
        assert isinstance(provider, OpenAIProvider)
        assert (provider.model, provider.base_url) == ("qwen3", "http://localhost:11434/v1")

    @pytest.mark.parametrize("model", ["Qwen/Qwen3-8B", "groq/llama", "openai/gpt-oss-20b"])
    def test_with_a_base_url_all_of_it_is_the_name(self, model: str) -> None:
        provider = Settings(model=model, base_url=SERVER).provider()
        assert isinstance(provider, OpenAIProvider)
        assert (provider.model, provider.base_url) == (model, SERVER)

    @pytest.mark.parametrize("variable", ["OPENAI_BASE_URL", "LLM_BASE_URL"])
    def test_with_a_server_in_the_environment_it_is_so_unless_the_service_is_known(self, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(variable, SERVER)
        whole, known = [Settings(model=model).provider() for model in ("Qwen/Qwen3-8B", "groq/llama")]
        assert isinstance(whole, OpenAIProvider)
        assert isinstance(known, OpenAIProvider)
        assert (whole.model, whole.base_url) == ("Qwen/Qwen3-8B", SERVER)
        assert (known.model, known.base_url) == ("llama", "https://api.groq.com/openai/v1")

    def test_who_meant_the_server_of_the_environment_is_told_how_to_say_so(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert refused(capsys, "run", "hi", "-m", "deepseek/x").endswith("(a server on this machine needs none)")
        monkeypatch.setenv("OPENAI_BASE_URL", SERVER)
        sentence = refused(capsys, "run", "hi", "-m", "deepseek/x")
        assert "no API key for api.deepseek.com; set DEEPSEEK_API_KEY, or give --api-key-file PATH" in sentence
        assert sentence.endswith("; if it is the server in OPENAI_BASE_URL or LLM_BASE_URL that calls its model so, name that server with --base-url")

    def test_without_any_server_it_has_to_be_known(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "there is no service 'grok'; did you mean 'groq'?" in refused(capsys, "run", "hi", "-m", "grok/llama")

    def test_users_with_a_url_of_their_own_give_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "give yours as --base-url URL, with the plain name of the model" in refused(capsys, "run", "hi", "-m", "azure/gpt-5")

    def test_a_key_file_is_for_the_service_that_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("sk-from-the-file-4711")
        provider = Settings(model="groq/llama", api_key_file=tmp_path / "key").provider()
        assert isinstance(provider, OpenAIProvider)
        assert provider._client.settings.key is not None
        assert provider._client.settings.key.reveal() == "sk-from-the-file-4711"

    def test_a_file_of_weights_is_found_behind_local_and_as_a_path(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "groq").mkdir()
        for name in ("tiny.gguf", "groq/other.gguf", "plain"):
            (tmp_path / name).write_bytes(b"GGUF")
        found = [Settings(model=model).provider() for model in ("local/tiny.gguf", "local/plain", "groq/other.gguf", "tiny.gguf")]
        assert [getattr(provider, "model", None) for provider in found] == ["tiny", "plain", "other", "tiny"]
        assert all(isinstance(provider, LocalProvider) for provider in found)
        assert "there is no model file folder/missing.gguf" in refused(capsys, "run", "hi", "-m", "folder/missing.gguf")
        assert "--api-key-file is for models on a server" in refused(capsys, "run", "hi", "-m", "local/tiny.gguf", "--api-key-file", "key")

    def test_a_server_may_call_its_model_like_a_file(self) -> None:
        provider = Settings(model="llamacpp/tiny.gguf").provider()
        assert isinstance(provider, OpenAIProvider)
        assert (provider.name, provider.model) == ("llamacpp", "tiny.gguf")


def test_a_key_goes_unencrypted_to_another_machine_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    with pytest.raises(ConfigurationError, match="--allow-http if you mean it"):
        Settings(model="any", base_url="http://192.0.2.1/v1").provider()
    Settings(model="any", base_url="http://192.0.2.1/v1", allow_http=True).provider()


def test_a_module_of_the_current_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    source = "from ecs_agent import tool\n\n@tool\ndef shout(text: str) -> str:\n    'Shout.'\n    return text.upper()\n"
    (tmp_path / "tools_of_this_test.py").write_text(source)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    assert main(["run", "-m", "fake", "--tools", "tools_of_this_test", 'call shout {"text": "hi"}']) == 0
    assert capsys.readouterr().out == "The tool said: HI\n"


def test_a_tool_file_that_fails_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    assert "ZeroDivisionError" in refused(capsys, "run", "hi", "-m", "fake", "--tools", "broken.py")


@pytest.mark.parametrize("words", [["--version"], ["chat", "--version"], ["run", "--version"]])
def test_the_version_is_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert capsys.readouterr() == (f"ecs-agent {__version__}\n", "")


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["chat", "--help"], ["run", "-h"], ["local"], ["local", "install", "--help"]])
def test_help_is_shown(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Usage: ecs-agent")
    assert err == ""


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_one_sentence_says_how_to_get_it(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from ecs_agent.cli.__main__ import main; sys.exit(main(['chat']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: the command line needs two more packages: pip install 'ecs-agent[cli]'\n"
