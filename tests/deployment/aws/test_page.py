"""docs/aws.md makes stacks that exist, with parameters that they have, in an order that works."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from services.cli.settings_catalogue import MODELS
from services.runtime.setting_names import NAMES
from tests.deployment.aws.shapes import DEPLOYED, PUBLIC
from tests.support.cloudformation import FOLDER, TEMPLATES, resolve, template

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "aws.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE, re.M | re.S)
SCRIPT = "\n".join(BLOCKS).replace("\\\n", " ")
DEPLOYMENTS = [
    (match["template"], dict(pair.split("=", 1) for pair in match["parameters"].split()), match["options"])
    for match in re.finditer(
        r"cloudformation deploy (?P<name>--stack-name \S+) +--template-file deploy/aws/(?P<template>\S+)\.yaml"
        r"(?P<options>.*?)--parameter-overrides (?P<parameters>[^\n]+)",
        SCRIPT,
    )
]


def servers_of(loop: str) -> tuple[str, ...]:
    """Return whom a loop of the page is over."""
    words = re.search(rf"for server in ([^;]+); do(?:(?!done).)*?{re.escape(loop)}", SCRIPT, re.S)
    assert words, loop
    return DEPLOYED if words[1] == "$SERVERS" else tuple(words[1].split())


def test_every_template_is_deployed_and_every_one_that_is_named_exists() -> None:
    assert {name for name, _, _ in DEPLOYMENTS} == {path.stem for path in TEMPLATES}
    assert {ROOT / path for path in re.findall(r"deploy/aws/[\w./-]+\.yaml", PAGE)} <= set(FOLDER.rglob("*.yaml"))
    assert set(re.findall(r"^\| `([^|]+)` \| ", PAGE, re.M)) >= {"data.yaml", "cluster.yaml", "access.yaml"}


@pytest.mark.parametrize(("name", "given", "options"), DEPLOYMENTS)
def test_a_stack_is_given_what_its_template_asks_for(name: str, given: dict[str, str], options: str) -> None:
    declared = template(name)["Parameters"]
    required = {key for key, each in declared.items() if "Default" not in each}
    assert required <= given.keys() <= declared.keys()
    assert ("CAPABILITY_IAM" in options) == (name == "access")


def test_what_a_stack_imports_was_made_before() -> None:
    made: set[str] = set()
    for name, given, _ in DEPLOYMENTS:
        fixed = {key: value for key, value in given.items() if not value.startswith('"$')}
        for server in (fixed.get("Server"),) if "Server" in fixed else (DEPLOYED if "Server" in given else (None,)):
            if name == "entrance" and server not in PUBLIC:
                continue
            known = {
                "Stage": "dev", "Server": server, "ImageTag": "a", "Domain": "a.example", "ClientCidr": "10.0.0.0/8",
                "CertificateArn": "arn:aws:acm:x", "VpcId": "v", "PrivateSubnetA": "a", "PrivateSubnetB": "b", "SubnetIds": [],
            }  # fmt: skip
            stack = resolve(template(name), **{key: known.get(key, fixed.get(key, "")) for key in given})
            assert stack.imports <= made, name
            made |= stack.exports.keys()


def test_every_server_is_deployed() -> None:
    single = {given["Server"] for name, given, _ in DEPLOYMENTS if name == "server" and given["Server"] in DEPLOYED}
    looped = servers_of("deploy/aws/server.yaml")
    assert sorted([*looped, *single]) == sorted(DEPLOYED)
    assert servers_of("deploy/aws/access.yaml") == DEPLOYED
    assert servers_of("deploy/aws/entrance.yaml") == PUBLIC
    assert re.search(r'^SERVERS="([^"]+)"$', SCRIPT, re.M)[1].split() == list(DEPLOYED)  # type: ignore[index]


def test_what_is_put_into_parameter_store_is_what_servers_read() -> None:
    put = re.findall(r"put \"?([$\w-]+)/([\w/-]+)\"? [\w.-]+", SCRIPT)
    secrets = resolve(template("server"), Stage="dev", Server="health", ImageTag="a").resources["Task"]["Properties"][
        "ContainerDefinitions"
    ][0]["Secrets"]
    assert {name for server, name in put if server == "tls"} == {
        each["ValueFrom"].rpartition("/")[2] for each in secrets
    }
    settings = {name for _, name in put if name.startswith("MIDSTREAM_")}
    assert settings <= NAMES
    assert settings == {"MIDSTREAM_DATABASE_URL", "MIDSTREAM_KEYS_SECRET", "MIDSTREAM_REDIS_URL", "MIDSTREAM_POWER_URL"}
    assert {name for server, name in put if server == "orders"} == {"binance/api_key", "binance/api_secret"}


def test_a_server_that_needs_a_queue_is_given_one() -> None:
    needing = {name for name in DEPLOYED if "redis_url" in MODELS[name].model_fields}
    assert set(servers_of('put "$server/MIDSTREAM_REDIS_URL"')) == needing


@pytest.mark.parametrize("block", BLOCKS, ids=[f"block-{number}" for number in range(len(BLOCKS))])
def test_commands_are_shell(block: str) -> None:
    subprocess.run(["bash", "-n"], input=block, text=True, check=True, timeout=30)


def test_what_is_secret_stands_in_no_argument() -> None:
    assert "--value" in SCRIPT
    assert set(re.findall(r"--value (\S+)", SCRIPT)) == {'"file://$2";'}


def test_outputs_that_the_page_reads_exist() -> None:
    for stack, name in re.findall(r'output "midstream-\$STAGE-(\w+)" (\w+)', SCRIPT):
        assert name in template(stack)["Outputs"], name


def test_the_size_that_the_costs_are_of_is_the_tasks() -> None:
    sizes = template("server")["Mappings"]["Servers"].values()
    vcpu = sum(int(each["Cpu"]) for each in sizes) / 1024
    gigabytes = sum(int(each["Memory"]) for each in sizes) / 1024
    assert f"({vcpu:g} vCPU, {gigabytes:g} GB)" in PAGE
