"""The services known by name: data that can be trusted with a key."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from ecs_agent.errors import ConfigurationError
from ecs_agent.providers import PRESETS, Capabilities, Preset, capability_table
from ecs_agent.providers.presets import split_model
from ecs_agent.providers.settings import is_loopback

EACH = pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)


@EACH
def test_a_url_is_encrypted_unless_it_leads_to_this_machine(preset: Preset) -> None:
    assert not preset.base_url or is_loopback(preset.base_url) or urlsplit(preset.base_url).scheme == "https"
    assert not preset.base_url.endswith("/")


@EACH
def test_services_on_this_machine_and_no_others_need_no_key(preset: Preset) -> None:
    here = preset.family == "local" or (bool(preset.base_url) and is_loopback(preset.base_url))
    assert preset.needs_key is not here


def test_no_two_services_share_a_name_and_only_protocols_of_one_server_the_variable_of_a_key() -> None:
    names = [name for preset in PRESETS for name in (preset.name, *preset.aliases)]
    assert len(names) == len(set(names))
    servers: dict[str, set[str]] = {}
    for preset in PRESETS:
        for name in preset.key_names:
            servers.setdefault(name, set()).add(preset.base_url)
    assert [name for name, urls in servers.items() if len(urls) > 1] == []


def test_a_key_that_does_not_say_whose_it_is_belongs_to_no_service() -> None:
    assert not [preset.name for preset in PRESETS if {"LLM_API_KEY", "LLM_BASE_URL"} & {*preset.key_names, *preset.url_names}]


@EACH
def test_no_service_is_said_to_go_on_behind_an_assistants_message(preset: Preset) -> None:
    assert not preset.capabilities.prefill
    assert preset.capabilities.context_window is None  # that is a model's


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "a/b"}, "'a/b' cannot name a service"),
        ({"name": "Groq"}, "'Groq' cannot name a service"),
        ({"name": ""}, "'' cannot name a service"),
        ({"aliases": ("b c",)}, "'b c' cannot name a service"),
        ({"base_url": "http://api.example.com/v1"}, "the URL of mine is not encrypted"),
        ({"base_url": "ftp://localhost/v1"}, "is no URL"),
        ({"base_url": "https://user:hunter2@example.com"}, "holds a user"),
        ({"key_names": ()}, "mine needs a key; say in key_names"),
    ],
)
def test_a_preset_that_makes_no_sense_is_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        Preset(**{"name": "mine", "base_url": "https://api.example.com/v1", "key_names": ("MINE",), **wrong})
    assert "hunter2" not in str(caught.value)


def test_what_stands_before_the_first_slash_is_the_service() -> None:
    assert split_model("groq/llama") == ("groq", "llama")
    assert split_model("openrouter/anthropic/claude-x") == ("openrouter", "anthropic/claude-x")


@pytest.mark.parametrize("wrong", ["", "gpt-5", "/gpt-5", "/"])
def test_a_model_without_its_service_is_told_how_to_be_written(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="write it as 'service/model', as in 'openai/gpt-5'"):
        split_model(wrong)


def test_the_table_says_what_the_data_says() -> None:
    presets = [
        Preset("far", base_url="https://far.example/v1", key_names=("FAR_KEY", "FAR_TOKEN"), aliases=("away",)),
        Preset("own", key_names=("OWN_KEY",), capabilities=Capabilities(False, False, False, False, False, False)),
        Preset("near", base_url="http://localhost:1/v1", key_names=("NEAR_KEY",), needs_key=False, capabilities=Capabilities(prefill=True)),
        Preset("local", "local", needs_key=False),
    ]
    assert capability_table(presets).split("\n") == [
        "| service | URL | key | tools | structured output | images | prefill | usage |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| `far`, `away` | `https://far.example/v1` | `FAR_KEY`, `FAR_TOKEN` | yes | yes | yes | no | yes |",
        "| `own` | your own | `OWN_KEY` | no | no | no | no | no |",
        "| `near` | `http://localhost:1/v1` | `NEAR_KEY`, if set | yes | yes | yes | yes | yes |",
        "| `local` | this process | none | yes | yes | yes | no | yes |",
    ]
