"""`midstream settings`: everything that a server reads is listed, from the models themselves, and docs/settings.md is what they say."""

from __future__ import annotations

import json

import pytest
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.cli import settings_catalogue
from services.cli.main import run
from services.cli.servers import SERVERS
from services.cli.settings_catalogue import MODELS, settings_of
from services.cli.settings_command import NAMES, PAGE, markdown, names_module
from services.runtime.setting_problems import names_of
from services.runtime.settings import ProcessSettings


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["settings", *arguments]) == 0
    return capsys.readouterr().out


def test_the_page_is_what_the_models_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(settings_of()), "run `make settings`"


def test_the_list_of_names_is_what_the_models_say() -> None:
    assert NAMES.read_text(encoding="utf-8") == names_module(), "run `make settings`"


def test_every_server_that_can_be_started_has_its_settings() -> None:
    assert list(MODELS) == list(SERVERS)


def test_every_field_of_every_model_is_listed() -> None:
    for server, model in MODELS.items():
        listed = {name for each in settings_of(server) for name in (each.name, *each.also)}
        fields = names_of(model) - {f"MIDSTREAM_{name.upper()}" for name in model.model_fields}

        assert fields <= listed


def test_every_setting_has_a_sentence_and_legal_values() -> None:
    assert [each.name for each in settings_of() if not each.sentence.endswith(".") or not each.legal] == []


def test_one_server_is_shown_what_it_reads_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "control")

    assert "MIDSTREAM_CONTROL_PORT\n" in text
    assert "MIDSTREAM_LOG_LEVEL\n" in text
    assert "MIDSTREAM_ORDERS_PORT" not in text
    assert "MIDSTREAM_BINANCE" not in text


def test_a_setting_is_shown_with_default_legal_values_and_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "replay")

    assert (
        "  MIDSTREAM_SPEED\n"
        "      Factor of real time; 0 (spelt `max`) is as fast as possible.\n"
        "      default 0; legal: a number from 0 up to 1000000\n"
    ) in text
    assert "  MIDSTREAM_REDIS_URL\n" in text
    assert "      required; legal: text\n" in text


def test_json_is_one_object_with_everything(capsys: pytest.CaptureFixture[str]) -> None:
    answer = json.loads(printed(capsys, "orders", "--json"))

    found = {each["name"]: each for each in answer["settings"]}
    assert answer["server"] == "orders"
    assert found["MIDSTREAM_ORDERS_DATABASE_URL"]["also"] == ["MIDSTREAM_DATABASE_URL"]
    assert found["MIDSTREAM_TRADING"]["default"] == "dry-run"
    assert found["MIDSTREAM_TRADING"]["legal"] == "dry-run, simulator, testnet, live"
    assert found["MIDSTREAM_BITMEX_API_SECRET_FILE"]["group"] == "exchange bitmex"


def test_markdown_is_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "--markdown") == PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(("repaly",), "there is no server 'repaly'; there are replay,", id="an unknown server"),
        pytest.param(("--json", "--markdown"), "exclude each other", id="two forms at once"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["settings", *arguments]) == 2
    assert complaint in capsys.readouterr().err


class Parent(ProcessSettings):
    port: int = Field(default=7, validation_alias="MIDSTREAM_CHILD_PORT")
    depth: int = 1
    """How deep
    it goes."""


class Child(Parent):
    model_config = SettingsConfigDict(env_prefix="MIDSTREAM_")
    depth: int = 2
    silent: int = 3


def test_a_sentence_comes_from_the_nearest_class_that_says_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_catalogue, "MODELS", {"child": Child})

    found = {each.name: each for each in settings_of("child")}

    assert (found["MIDSTREAM_DEPTH"].sentence, found["MIDSTREAM_DEPTH"].default) == ("How deep it goes.", "2")
    assert found["MIDSTREAM_CHILD_PORT"].sentence.startswith("Where the server listens;")
    assert found["MIDSTREAM_SILENT"].sentence == ""
    assert found["MIDSTREAM_HOST"].group == settings_catalogue.EVERYWHERE
