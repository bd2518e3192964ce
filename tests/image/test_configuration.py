"""What engines read of the image: how it is started, probed and stopped, and where it comes from."""

from __future__ import annotations

import os
import re
import tomllib
from typing import Any

import pytest

from services.cli.servers import SERVERS
from tests.support.image_box import DATA, Image
from tests.support.imports import ROOT

pytestmark = pytest.mark.image
LABEL = "org.opencontainers.image."


@pytest.fixture
def config(image: Image) -> dict[str, Any]:
    """The image's configuration."""
    return dict(image.config)


def test_it_runs_one_command_without_a_shell_as_nobody_in_particular(config: dict[str, Any]) -> None:
    assert config["Entrypoint"] == ["midstream"]
    assert config["Cmd"] == ["serve", "replay", "control", "price", "health"]
    assert config["User"] == "10001:10001"
    assert config["WorkingDir"] == DATA
    assert config["StopSignal"] == "SIGTERM"


def test_engines_that_probe_ask_the_health_command(config: dict[str, Any]) -> None:
    assert config["Healthcheck"]["Test"] == ["CMD", "midstream", "healthcheck"]
    assert config["Healthcheck"]["Timeout"] == 5_000_000_000


def test_the_writable_places_are_named(config: dict[str, Any]) -> None:
    assert set(config["Volumes"]) == {"/tmp", DATA}


def test_the_ports_are_those_of_the_servers(config: dict[str, Any]) -> None:
    ports = {
        port for name, server in SERVERS.items() if not name.startswith("sim-") for port in (server.port, server.web)
    }

    assert {int(each.partition("/")[0]) for each in config["ExposedPorts"]} == ports - {0}


def test_labels_say_what_it_is_and_which_commit_it_was_made_from(config: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    labels = {name.removeprefix(LABEL): value for name, value in config["Labels"].items()}

    assert labels["version"] == project["version"]
    assert labels["description"] == project["description"]
    assert re.fullmatch(r"[0-9a-f]{40}", labels["revision"])
    assert labels["revision"] == os.environ.get("MIDSTREAM_IMAGE_REVISION")
    assert labels["title"] == project["name"]


def test_the_environment_is_what_the_dockerfile_says(image: Image) -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").partition("\nFROM ${BASE}\n")[2]
    blocks = re.findall(r"^ENV (.*?[^\\])$", text, re.MULTILINE | re.DOTALL)
    words = " ".join(blocks).replace("\\\n", " ").split()
    stated = dict(word.split("=", 1) for word in words)

    # Nothing came along from the machine that built it: no address of an index, no authority.
    assert image.environment == {**stated, "MIDSTREAM_REVISION": image.config["Labels"][f"{LABEL}revision"]}
