"""The templates of deploy/aws come to something for every stage and server, and to nothing that hurts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import ManualArgs, lint_file

from services.cli.servers import SERVERS
from tests.deployment.aws.judging import EVERYTHING, findings
from tests.deployment.aws.shapes import DEPLOYED, DOMAIN, PUBLIC, server_parameters, stacks, stage_parameters
from tests.support.cloudformation import FOLDER, STAGES, TEMPLATES, Stack, resolve, template

REGIONS = ManualArgs(regions=["eu-central-1", "us-east-1"])
STACKS = dict(stacks())
SIZE = "Cpu: !FindInMap [Servers, !Ref Server, Cpu]\n      Memory: !FindInMap [Servers, !Ref Server, Memory]"


def lint(path: Path) -> list[str]:
    return [f"{match.rule.id} {match.message}" for match in lint_file(path, config=REGIONS)]


@pytest.mark.cases(2)
@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_the_linter_has_nothing_to_say(path: Path) -> None:
    assert lint(path) == []


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("name", "old", "new", "rule"),
    [
        ("server", SIZE, "Cpu: 256\n      Memory: 4097", "E3047"),
        ("server", "NetworkMode: awsvpc", "NetworkMode: bridge", "E3048"),
        ("server", "              awslogs-region: !Ref AWS::Region\n", "", "E3046"),
        ("data", "StorageEncrypted: true", "StorageEncrypt: true", "E3002"),
        ("cluster", "!Ref CertificateArn", "!Ref Certificate", "E1020"),
        ("data", "!GetAtt Key.Arn", "!GetAtt Keys.Arn", "E1010"),
        ("entrance", "Protocol: HTTPS\n      ProtocolVersion: GRPC", "Protocol: HTTPX\n      ProtocolVersion: GRPC", "E3030"),
    ],
)  # fmt: skip
def test_the_linter_catches_what_is_planted(name: str, old: str, new: str, rule: str, tmp_path: Path) -> None:
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "planted.yaml").write_text(text.replace(old, new), encoding="utf-8")

    assert rule in {line.split(" ", 1)[0] for line in lint(tmp_path / "planted.yaml")}


@pytest.mark.parametrize("name", STACKS)
def test_nothing_that_the_linter_lets_pass_is_wrong_either(name: str) -> None:
    assert findings(STACKS[name]) == []


def container(stack: Stack) -> dict[str, Any]:
    return next(each for each in stack.resources["Task"]["Properties"]["ContainerDefinitions"] if each["Essential"])


def of(resource: str, *path: str | int) -> Callable[[Stack], Any]:
    def found(stack: Stack) -> Any:
        node: Any = stack.resources[resource]["Properties"]
        for step in path:
            node = node[step]
        return node

    return found


def put(where: Callable[[Stack], Any], **values: Any) -> Callable[[Stack], None]:
    return lambda stack: where(stack).update(values)


def leave_out(where: Callable[[Stack], Any], name: str) -> Callable[[Stack], None]:
    return lambda stack: where(stack).pop(name)


def add(where: Callable[[Stack], Any], name: str, value: Any) -> Callable[[Stack], None]:
    return lambda stack: where(stack)[name].append(value)


def connect(**timeout: int) -> dict[str, Any]:
    return {"Enabled": True, "Services": [{"PortName": "grpc", "Timeout": timeout}]}


def environment(name: str, value: str) -> Callable[[Stack], None]:
    return add(container, "Environment", {"Name": name, "Value": value})


PARAMETER = "arn:aws:ssm:eu-central-1:000000000000:parameter"
_NETWORK = of("Service", "NetworkConfiguration", "AwsvpcConfiguration")
_RUN = of("TaskRole", "Policies", 0, "PolicyDocument", "Statement")


@pytest.mark.parametrize(
    ("name", "plant", "found"),
    [
        ("prod-orders", put(container, StopTimeout=200), "more than Fargate gives"),
        ("prod-orders", put(container, StopTimeout=8), "less than the"),
        ("prod-orders", leave_out(container, "User"), "runs as"),
        ("prod-orders", put(container, User="0"), "runs as 0"),
        ("prod-orders", put(container, ReadonlyRootFilesystem=False), "its root can be written"),
        ("prod-orders", put(container, LinuxParameters={}), "nobody collects orphans"),
        ("prod-orders", put(container, LinuxParameters={"Tmpfs": []}), "Fargate has no tmpfs"),
        ("prod-orders", put(lambda s: container(s)["HealthCheck"], StartPeriod=400), "StartPeriod 400"),
        ("prod-orders", put(lambda s: container(s)["HealthCheck"], Command=["CMD", "true"]), "its health check is"),
        ("prod-orders", put(lambda s: container(s)["HealthCheck"], Command=["CMD", "midstream", "healthcheck"]), "is replaced when"),
        ("prod-orders", leave_out(container, "HealthCheck"), "nothing has a health check"),
        ("prod-orders", leave_out(lambda s: container(s)["LogConfiguration"]["Options"], "awslogs-region"), "its lines go nowhere"),
        ("prod-orders", leave_out(lambda s: container(s)["LogConfiguration"]["Options"], "mode"), "waits for CloudWatch"),
        ("prod-orders", put(container, MountPoints=[]), "nothing is writable at /tmp"),
        ("prod-orders", add(container, "MountPoints", {"SourceVolume": "none", "ContainerPath": "/x"}), "there is no volume none"),
        ("prod-orders", environment("MIDSTREAM_DATABASE_URL", "postgresql://h/d"), "stands in the environment"),
        ("prod-orders", environment("MIDSTREAM_KEYS_SECRET", "x"), "stands in the environment"),
        ("prod-orders", environment("MIDSTREAM_BINANCE_API_KEY", "x"), "stands in the environment"),
        ("prod-orders", environment("MIDSTREAM_TLS_KEY", "-----BEGIN"), "stands in the environment"),
        ("prod-orders", environment("OTEL_ENDPOINT", "https://me:pw@h"), "holds a password"),
        ("prod-orders", environment("X", "{{resolve:secretsmanager:y}}"), "holds a password"),
        ("prod-orders", environment("MIDSTREAM_INSECURE", "yes"), "MIDSTREAM_INSECURE"),
        ("prod-orders", put(of("Task"), Memory="1024"), "cpu 1024 with memory 1024"),
        ("prod-orders", put(of("Task"), NetworkMode="host"), "Fargate has awsvpc alone"),
        ("prod-orders", put(of("Task"), TaskRoleArn="<import midstream-prod-orders-ExecutionRole>"), "has the role of the platform"),
        ("prod-orders", put(of("Task", "Volumes", 1, "EFSVolumeConfiguration"), TransitEncryption="DISABLED"), "is without TLS"),
        ("prod-orders", leave_out(of("Service"), "NetworkConfiguration"), "has no NetworkConfiguration"),
        ("prod-orders", put(_NETWORK, AssignPublicIp="ENABLED"), "an address that everybody"),
        ("prod-orders", put(of("Service", "DeploymentConfiguration"), MaximumPercent=200), "the new one starts before"),
        ("prod-orders", leave_out(of("Service"), "AvailabilityZoneRebalancing"), "starts a second one"),
        ("prod-orders", leave_out(of("Service", "DeploymentConfiguration"), "DeploymentCircuitBreaker"), "goes on for ever"),
        ("prod-orders", put(of("Service"), EnableExecuteCommand=True), "lets people in"),
        ("prod-orders", leave_out(of("Service"), "HealthCheckGracePeriodSeconds"), "given up while it starts"),
        ("prod-orders", leave_out(of("Service"), "ServiceRegistries"), "nobody finds it"),
        ("prod-orders", put(of("Service"), ServiceConnectConfiguration=connect()), "cuts streams"),
        ("prod-orders", put(of("Service"), ServiceConnectConfiguration=connect(PerRequestTimeoutSeconds=0)), "cuts streams"),
        ("prod-orders-entrance", leave_out(of("GrpcTargets"), "Matcher"), "GrpcCode"),
        ("prod-orders-entrance", put(of("GrpcTargets"), Matcher={"GrpcCode": "12"}), "GrpcCode"),
        ("prod-orders-entrance", leave_out(of("GrpcTargets"), "HealthCheckPath"), "asks None"),
        ("prod-orders-entrance", put(of("WebTargets"), Protocol="HTTP"), "speaks plain text"),
        ("prod-orders-entrance", put(of("WebTargets"), TargetType="instance"), "targets by address"),
        ("prod-orders-entrance", leave_out(of("WebTargets"), "TargetGroupAttributes"), "holds up the end"),
        ("prod-cluster", put(of("Balancer"), LoadBalancerAttributes=[]), "cuts streams that are silent"),
        ("prod-cluster", put(of("Listener"), Protocol="HTTP"), "is not HTTPS"),
        ("prod-orders-access", lambda s: _RUN(s)[0].update(Resource="*"), "its resource is *"),
        ("prod-orders-access", lambda s: _RUN(s)[0].update(Resource=f"{PARAMETER}/midstream/*"), "its resource is arn"),
        ("prod-orders-access", lambda s: _RUN(s)[0].update(Resource=f"{PARAMETER}/*/orders/x"), "its resource is arn"),
        ("prod-orders-access", lambda s: _RUN(s)[0].update(Action="ssm:*"), "may ssm:*"),
        ("prod-orders-access", lambda s: _RUN(s)[1].pop("Condition"), "decrypts for itself"),
        ("prod-orders-access", lambda s: of("TaskRole", "AssumeRolePolicyDocument", "Statement", 0)(s).pop("Condition"), "anybody's task"),
        ("prod-orders-access", leave_out(of("LogGroup"), "RetentionInDays"), "keeps lines for ever"),
        ("prod-data", put(of("Postgres"), StorageEncrypted=False), "not encrypted"),
        ("prod-data", put(of("Postgres"), MasterUserPassword="x"), "its password is somebody's"),
        ("prod-data", lambda s: s.resources["Postgres"].pop("DeletionPolicy"), "goes with its stack"),
        ("prod-data", put(of("Valkey"), TransitEncryptionMode="preferred"), "takes plain text"),
        ("prod-data", leave_out(of("Valkey"), "AuthToken"), "has no password"),
        ("prod-data", put(of("Valkey"), ClusterMode="enabled"), "cluster mode"),
        ("prod-data", leave_out(of("Valkey"), "SnapshotRetentionLimit"), "has no snapshots"),
        ("prod-data", put(of("ValkeyParameters"), Properties={"maxmemory-policy": "volatile-lru"}), "throws away"),
        ("prod-data", put(of("Files"), Encrypted=False), "goes with its stack"),
    ],
)  # fmt: skip
def test_every_check_catches_what_is_planted(name: str, plant: Callable[[Stack], Any], found: str) -> None:
    stack = copy.deepcopy(STACKS[name])
    plant(stack)
    assert any(found in each for each in findings(stack)), findings(stack)


def test_no_exception_is_left_over() -> None:
    used = {
        statement["Sid"]
        for stack in STACKS.values()
        for each in stack.resources.values()
        for statement in _all_statements(each)
        if statement.get("Resource") == "*"
    }
    assert used == EVERYTHING.keys()


def _all_statements(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, dict):
        own = [node] if {"Effect", "Action", "Sid"} <= node.keys() else []
        return own + [found for value in node.values() for found in _all_statements(value)]
    return [found for value in node for found in _all_statements(value)] if isinstance(node, list) else []


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stack_imports_another_one_of_its_stage_exports(stage: str) -> None:
    own = {name: stack for name, stack in STACKS.items() if name.startswith(f"{stage}-")}
    exported = {name for stack in own.values() for name in stack.exports}
    imported = {name for stack in own.values() for name in stack.imports}
    assert imported <= exported
    assert all(name.startswith(f"midstream-{stage}-") for name in exported)


def test_every_server_can_be_deployed_and_no_simulator_can() -> None:
    for name in ("server", "access"):
        assert tuple(template(name)["Parameters"]["Server"]["AllowedValues"]) == DEPLOYED
    assert tuple(template("entrance")["Parameters"]["Server"]["AllowedValues"]) == PUBLIC
    assert set(template("server")["Mappings"]["Servers"]) == set(DEPLOYED)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Trading": "testnet"}, "Trading is live, or dry-run"),
        ({"NotionalMax": ""}, "set NotionalMax"),
        ({"PositionMax": ""}, "set PositionMax"),
        ({"LossMax": ""}, "set LossMax"),
        ({"ExchangeKeys": "no"}, "ExchangeKeys=yes"),
        ({"Domain": ""}, "set Domain"),
        ({"Stage": "staging"}, "for Stage prod alone"),
        ({"Stage": "dev"}, "for Stage prod alone"),
    ],
)
def test_a_rule_refuses_what_the_stage_forbids(change: dict[str, str], said: str) -> None:
    given = server_parameters("prod", "orders")
    assert resolve(template("server"), **given).refusals == []
    assert any(said in each for each in resolve(template("server"), **given | change).refusals)


def test_the_reference_prices_of_a_deployment_come_from_somewhere() -> None:
    given = server_parameters("dev", "power-etl")
    assert resolve(template("server"), **given | {"ReferenceUrl": ""}).refusals


def test_prod_is_not_open_to_the_world() -> None:
    given = stage_parameters("prod")["cluster"] | {"ClientCidr": "0.0.0.0/0"}
    assert resolve(template("cluster"), **given).refusals
    assert not resolve(template("cluster"), **given | {"Stage": "dev"}).refusals


@pytest.mark.parametrize("server", DEPLOYED)
def test_only_prod_is_protected_against_deletion(server: str) -> None:
    protected = {
        stage: (
            STACKS[f"{stage}-data"].resources["Postgres"]["Properties"]["DeletionProtection"],
            STACKS[f"{stage}-data"].resources["Postgres"]["Properties"]["MultiAZ"],
            STACKS[f"{stage}-data"].resources["Valkey"]["Properties"]["MultiAZEnabled"],
        )
        for stage in STAGES
    }
    assert protected == {"dev": (False, False, False), "staging": (False, False, True), "prod": (True, True, True)}


@pytest.mark.parametrize("server", DEPLOYED)
def test_a_task_runs_its_own_server_from_the_one_image(server: str) -> None:
    stack = STACKS[f"prod-{server}"]
    task = stack.resources["Task"]["Properties"]
    images = {each["Image"] for each in task["ContainerDefinitions"]}
    assert container(stack)["Command"] == ["serve", server]
    assert len(images) == 1
    assert images.pop().endswith("/midstream:3f2c1ab")
    assert SERVERS[server].port == int(container(stack)["PortMappings"][0]["ContainerPort"])


@pytest.mark.parametrize("server", PUBLIC)
def test_targets_and_service_agree_on_ports(server: str) -> None:
    entrance, stack = STACKS[f"prod-{server}-entrance"], STACKS[f"prod-{server}"]
    ports = [entrance.resources[name]["Properties"]["Port"] for name in ("GrpcTargets", "WebTargets")]
    assert ports == [str(SERVERS[server].port), str(SERVERS[server].web)]
    assert [each["ContainerPort"] for each in stack.resources["Service"]["Properties"]["LoadBalancers"]] == ports
    assert container(stack)["Environment"].count({"Name": "MIDSTREAM_WEB_HOSTS", "Value": f"*.{DOMAIN}"}) == 1
