"""docs/image.md says what the Dockerfile, compose.yaml and the servers say."""

from __future__ import annotations

import re
import shlex

import pytest
import typer
import yaml

from services.cli.main import app
from services.cli.servers import SERVERS
from services.cli.settings_catalogue import settings_of
from tests.support import compose
from tests.support.imports import ROOT
from tests.support.pages import shell_lines

PAGE = (ROOT / "docs/image.md").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMMANDS = [line for line in shell_lines(PAGE) if line.startswith(("docker ", "printf ", "cp "))]


def of_simulators() -> list[str]:
    """Return the commands for containers that the pages about simulated exchanges name."""
    pages = [(ROOT / f"docs/{name}.md").read_text(encoding="utf-8") for name in ("simulators", "simulated_bybit")]
    blocks = [block for page in pages for block in re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)]
    return [line for block in blocks for line in block.splitlines()]


def test_the_page_has_commands_to_check() -> None:
    assert len(COMMANDS) >= 6
    assert len(of_simulators()) >= 3


@pytest.mark.parametrize("command", [each for each in of_simulators() if each.startswith("docker run")])
def test_a_simulator_is_published_at_its_port_on_this_machine_alone(command: str) -> None:
    words = shlex.split(command)
    name = words[-1]
    settings = [words[at + 1] for at, word in enumerate(words) if word == "--env"]

    assert words[-3:-1] == ["midstream:local", "serve"]
    port = SERVERS[name].port
    assert words[words.index("--publish") + 1] == f"127.0.0.1:{port}:{port}"
    known = {each.name for each in settings_of(name)}
    assert settings[0] == "MIDSTREAM_HOST=0.0.0.0"
    assert {each.partition("=")[0] for each in settings} <= known
    assert f"docker compose up --wait {name}" in "".join(
        (ROOT / f"docs/{page}.md").read_text(encoding="utf-8") for page in ("simulators", "simulated_bybit")
    )


def test_the_table_of_ports_is_what_the_servers_listen_on() -> None:
    rows = re.findall(r"^\| ([a-z-]+) \| (\d+) \| (\d*) ?\| (\d+) \|$", PAGE, re.MULTILINE)

    assert {name: (int(port), int(web or 0)) for name, port, web, _ in rows} == {
        name: (server.port, server.web) for name, server in SERVERS.items() if not name.startswith("sim-")
    }
    for name, *_, metrics in rows:
        defaults = {each.name: each.default for each in settings_of(name)}
        assert defaults[f"MIDSTREAM_{name.upper().replace('-', '_')}_METRICS_PORT"] == metrics


@pytest.mark.parametrize("command", [each for each in (*COMMANDS, *of_simulators()) if each.startswith("docker run")])
def test_the_image_is_run_hardened_and_writes_where_it_may(command: str) -> None:
    words = shlex.split(command)

    assert words[2 : words.index("midstream:local")][:8] == [
        *("--rm", "--init", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt")
    ]
    assert "no-new-privileges" in words
    places = [each.split(":")[1] for each in words if each.count(":") and "/" in each]
    assert set(places) <= {"/recordings", "/var/lib/midstream"}


def test_commands_of_ours_in_containers_are_some() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    (line,) = (each for each in COMMANDS if " exec " in each)
    words = shlex.split(line)
    service, inside = words[3], words[5:]

    assert service in compose.services()
    known = {option for each in commands[inside[0]].commands[inside[1]].params for option in each.opts}
    assert {word for word in inside if word.startswith("--")} <= known


def test_the_page_begins_as_the_head_of_the_file_does() -> None:
    head = [line.removeprefix("#   ") for line in compose.PATH.read_text().splitlines() if line.startswith("#   ")]

    assert head == [each for each in COMMANDS if each.startswith(("printf", "docker compose up"))]


def test_the_profile_and_the_file_beside_it_fit() -> None:
    services = compose.services()
    profiles = {profile for each in services.values() for profile in each.get("profiles", ())}
    (snippet,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    beside = yaml.safe_load(snippet)["services"]

    assert {re.search(r"--profile (\w+)", each)[1] for each in COMMANDS if "--profile" in each} == profiles  # type: ignore[index]
    assert set(beside) <= set(services)
    assert all(set(each) <= {"environment", "volumes"} for each in beside.values())


def test_what_is_built_is_what_the_dockerfile_asks_for() -> None:
    (build,) = (each for each in COMMANDS if each.startswith("docker build"))

    arguments = {word.partition("=")[0] for word in re.findall(r"--build-arg (\S+)", f"{build} {PAGE}")}
    assert arguments <= set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))
    assert 'CMD ["serve", "replay", "control", "price", "health"]' in DOCKERFILE
    assert "`serve replay control price health`" in PAGE
