"""What cfn-lint lets pass and would hurt: each check takes what a template comes to, and says what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from services.cli.child import STOP_GRACE_S
from services.orders.engine.placing import DRAIN_S
from services.runtime.engine_host import ENGINE_STOP_S
from services.runtime.server import GRACE_S, NOTICE_S, QUIET_MAX_S
from services.runtime.web.face import GRACE_S as WEB_GRACE_S
from tests.support.cloudformation import Stack

STOP_TIMEOUT_MAX: Final = 120
START_PERIOD_MAX: Final = 300
STREAM_S_MIN: Final = 3600
BALANCER_IDLE_S_MAX: Final = 4000
SERVER_GRACE_S: Final = NOTICE_S + QUIET_MAX_S + GRACE_S + max(ENGINE_STOP_S, 2 * DRAIN_S + WEB_GRACE_S)
"""The longest that a server takes to end in order."""
GRACE_NEEDED_S: Final = max(SERVER_GRACE_S, STOP_GRACE_S)

EVERYTHING: Final = {
    "RegistryToken": "the registry gives out its token for all of itself, or not at all",
    "AccountDecidesByIam": "the policy of a key speaks of this key, and the account's own administrators keep it",
    "OnlyWithTls": "the policy of a file system speaks of this one, and denies",
    "OnlyAtAnAccessPoint": "the policy of a file system speaks of this one, and denies",
}
"""Statements whose resource is everything, and why that is right."""
SECRET: Final = re.compile(r"PASSWORD|SECRET|TOKEN|API_KEY|_URL$|KEYS?$")
PUBLIC: Final = {
    "MIDSTREAM_TLS_KEY": "/tmp/tls/server-key.pem",
    "MIDSTREAM_AUTH": "keys",
    "MIDSTREAM_REFERENCE_URL": "",
}
"""Names that look like secrets and are none: a path, a word, a provider without a password."""


MEMORY_MIB: Final = {256: (512, 1024, 2048), 512: range(1024, 4097, 1024), 1024: range(2048, 8193, 1024)}
"""What Fargate has for each share of a processor, as far as we use it."""


def findings(stack: Stack) -> list[str]:
    """Return everything that is wrong."""
    checks = (tasks, services, targets, balancers, policies, stores)
    return [each for check in checks for each in check(stack)]


def tasks(stack: Stack) -> Iterator[str]:
    """Judge task definitions."""
    for name, task in stack.of_type("AWS::ECS::TaskDefinition").items():
        if task.get("NetworkMode") != "awsvpc":
            yield f"{name}: Fargate has awsvpc alone"
        cpu, memory = int(task["Cpu"]), int(task["Memory"])
        if memory not in MEMORY_MIB.get(cpu, ()):
            yield f"{name}: Fargate has no cpu {cpu} with memory {memory}"
        if task.get("TaskRoleArn") == task.get("ExecutionRoleArn"):
            yield f"{name}: a server has the role of the platform"
        volumes = {each["Name"]: each for each in task.get("Volumes", [])}
        for volume in volumes.values():
            files = volume.get("EFSVolumeConfiguration")
            if files is not None and (files.get("TransitEncryption") != "ENABLED" or "AccessPointId" not in str(files)):
                yield f"{name}: the volume {volume['Name']} is without TLS, or without an access point"
        for container in task["ContainerDefinitions"]:
            at = f"{name}.{container['Name']}"
            yield from _container(at, container)
            for mount in container.get("MountPoints", []):
                if mount["SourceVolume"] not in volumes:
                    yield f"{at}: there is no volume {mount['SourceVolume']}"
            if not any(
                each["ContainerPath"] == "/tmp" and not volumes[each["SourceVolume"]].get("EFSVolumeConfiguration")
                for each in container.get("MountPoints", [])
            ):
                yield f"{at}: nothing is writable at /tmp"
        if not any("HealthCheck" in each for each in task["ContainerDefinitions"]):
            yield f"{name}: nothing has a health check; ECS does not look at the image's own"


def _container(at: str, container: dict[str, Any]) -> Iterator[str]:
    if container.get("User") != "10001:10001":
        yield f"{at}: runs as {container.get('User', 'whoever the image says')}"
    if container.get("ReadonlyRootFilesystem") is not True:
        yield f"{at}: its root can be written"
    linux = container.get("LinuxParameters", {})
    if linux.get("InitProcessEnabled") is not True:
        yield f"{at}: nobody collects orphans"
    if linux.get("Capabilities", {}).get("Drop") != ["ALL"]:
        yield f"{at}: keeps capabilities"
    if "Tmpfs" in linux:
        yield f"{at}: Fargate has no tmpfs"
    if container.get("Essential"):
        timeout_s = container.get("StopTimeout", 30)
        if timeout_s > STOP_TIMEOUT_MAX:
            yield f"{at}: StopTimeout {timeout_s} is more than Fargate gives"
        if timeout_s <= GRACE_NEEDED_S:
            yield f"{at}: StopTimeout {timeout_s} is less than the {GRACE_NEEDED_S:g} s of a server that drains"
        health = container.get("HealthCheck", {})
        if health.get("StartPeriod", 0) > START_PERIOD_MAX:
            yield f"{at}: StartPeriod {health['StartPeriod']} is more than {START_PERIOD_MAX}"
        if health and health["Command"][:3] != ["CMD", "midstream", "healthcheck"]:
            yield f"{at}: its health check is {health['Command']}"
        if health and "--live" not in health["Command"]:
            yield f"{at}: is replaced when its database is away"
    log = container.get("LogConfiguration", {})
    options = log.get("Options", {})
    if log.get("LogDriver") != "awslogs" or not {"awslogs-group", "awslogs-region"} <= options.keys():
        yield f"{at}: its lines go nowhere"
    if options.get("mode") != "non-blocking" or "max-buffer-size" not in options:
        yield f"{at}: waits for CloudWatch"
    for setting in container.get("Environment", []):
        name, value = setting["Name"], str(setting["Value"])
        if SECRET.search(name) and not value.startswith(PUBLIC.get(name, "\0")):
            yield f"{at}: {name} stands in the environment, where everybody who sees the task reads it"
        if "{{resolve:" in value or re.search(r"://[^/]*:[^/]*@", value):
            yield f"{at}: {name} holds a password"
        if name == "MIDSTREAM_INSECURE":
            yield f"{at}: {name}"
    for secret in container.get("Secrets", []):
        if not re.match(r"arn:aws:(ssm|secretsmanager):", secret["ValueFrom"]):
            yield f"{at}: {secret['Name']} comes from {secret['ValueFrom']}"


def services(stack: Stack) -> Iterator[str]:
    """Judge services."""
    for name, service in stack.of_type("AWS::ECS::Service").items():
        network = service.get("NetworkConfiguration", {}).get("AwsvpcConfiguration", {})
        if len(network.get("Subnets", [])) < 2 or not network.get("SecurityGroups"):
            yield f"{name}: has no NetworkConfiguration with two subnets and a group"
        if network.get("AssignPublicIp", "DISABLED") != "DISABLED":
            yield f"{name}: has an address that everybody reaches"
        shape = service.get("DeploymentConfiguration", {})
        if (service.get("DesiredCount"), shape.get("MinimumHealthyPercent"), shape.get("MaximumPercent")) != (
            1,
            0,
            100,
        ):
            yield f"{name}: the new one starts before the old one has stopped"
        if service.get("AvailabilityZoneRebalancing") != "DISABLED":
            yield f"{name}: rebalancing starts a second one"
        if shape.get("DeploymentCircuitBreaker") != {"Enable": True, "Rollback": True}:
            yield f"{name}: a deployment that fails goes on for ever"
        if service.get("EnableExecuteCommand"):
            yield f"{name}: lets people in, for which a read-only root has no room"
        if service.get("LoadBalancers") and "HealthCheckGracePeriodSeconds" not in service:
            yield f"{name}: is given up while it starts"
        connected = service.get("ServiceConnectConfiguration", {})
        for each in connected.get("Services", []) if connected.get("Enabled") else []:
            timeout = each.get("Timeout", {})
            if timeout.get("PerRequestTimeoutSeconds") != 0 or timeout.get("IdleTimeoutSeconds", 0) < STREAM_S_MIN:
                yield f"{name}: Service Connect cuts streams of {each['PortName']} (PerRequestTimeoutSeconds, IdleTimeoutSeconds)"
        if not service.get("ServiceRegistries") and not connected.get("Enabled"):
            yield f"{name}: nobody finds it"


def targets(stack: Stack) -> Iterator[str]:
    """Judge target groups."""
    for name, group in stack.of_type("AWS::ElasticLoadBalancingV2::TargetGroup").items():
        if group.get("TargetType") != "ip":
            yield f"{name}: awsvpc needs targets by address"
        if group.get("Protocol") != "HTTPS" or group.get("HealthCheckProtocol") != "HTTPS":
            yield f"{name}: speaks plain text to a server that speaks TLS"
        if group.get("ProtocolVersion") == "GRPC":
            if group.get("Matcher", {}).get("GrpcCode") != "0":
                yield f"{name}: GrpcCode {group.get('Matcher')} takes a server for healthy that knows no health check"
            if group.get("HealthCheckPath") != "/grpc.health.v1.Health/Check":
                yield f"{name}: asks {group.get('HealthCheckPath')}"
        attributes = {each["Key"]: each["Value"] for each in group.get("TargetGroupAttributes", [])}
        delay_s = int(attributes.get("deregistration_delay.timeout_seconds", 300))
        if delay_s + GRACE_NEEDED_S >= STOP_TIMEOUT_MAX:
            yield f"{name}: holds up the end of a server for {delay_s} s"


def balancers(stack: Stack) -> Iterator[str]:
    """Judge load balancers and their listeners."""
    for name, balancer in stack.of_type("AWS::ElasticLoadBalancingV2::LoadBalancer").items():
        attributes = {each["Key"]: str(each["Value"]) for each in balancer.get("LoadBalancerAttributes", [])}
        if not STREAM_S_MIN <= int(attributes.get("idle_timeout.timeout_seconds", 60)) <= BALANCER_IDLE_S_MAX:
            yield f"{name}: cuts streams that are silent for a minute"
        if attributes.get("routing.http.drop_invalid_header_fields.enabled") != "true":
            yield f"{name}: passes on headers that are none"
    for name, listener in stack.of_type("AWS::ElasticLoadBalancingV2::Listener").items():
        if listener.get("Protocol") != "HTTPS" or "TLS13" not in listener.get("SslPolicy", ""):
            yield f"{name}: is not HTTPS with TLS 1.2 and 1.3"


def policies(stack: Stack) -> Iterator[str]:
    """Judge who may do what."""
    for name, resource in stack.resources.items():
        for statement in _statements(resource.get("Properties", {})):
            sid = statement.get("Sid", "")
            if "Principal" in statement and statement.get("Action") == "sts:AssumeRole":
                if not {"StringEquals", "ArnLike"} <= statement.get("Condition", {}).keys():
                    yield f"{name}: anybody's task takes this role (aws:SourceAccount, aws:SourceArn)"
                continue
            for resource_arn in _listed(statement["Resource"]):
                if sid not in EVERYTHING and (resource_arn == "*" or not _is_narrow(str(resource_arn))):
                    yield f"{name}.{sid}: its resource is {resource_arn}"
            for action in _listed(statement["Action"]):
                if "*" in str(action) and sid not in EVERYTHING:
                    yield f"{name}.{sid}: may {action}"
                if str(action).startswith("kms:") and sid not in EVERYTHING:
                    via = statement.get("Condition", {}).get("StringEquals", {}).get("kms:ViaService", "")
                    if not via.startswith("ssm."):
                        yield f"{name}.{sid}: decrypts for itself (kms:ViaService)"


def _is_narrow(arn: str) -> bool:
    """Whether it names something below an account, and not everything of a kind."""
    if arn.startswith("<"):
        return True
    parts = arn.split(":", 5)
    if len(parts) < 6 or not parts[4]:
        return False
    last = parts[5].removeprefix("parameter/").rstrip("*").rstrip("/:")
    return "*" not in last and last.count("/") >= (2 if ":ssm:" in arn else 1)


def _statements(properties: Any) -> Iterator[dict[str, Any]]:
    if isinstance(properties, dict):
        if "Effect" in properties and "Action" in properties:
            yield properties
            return
        for value in properties.values():
            yield from _statements(value)
    elif isinstance(properties, list):
        for value in properties:
            yield from _statements(value)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def stores(stack: Stack) -> Iterator[str]:
    """Judge what keeps data."""
    for name, database in stack.of_type("AWS::RDS::DBInstance").items():
        if database.get("StorageEncrypted") is not True or database.get("PubliclyAccessible") is not False:
            yield f"{name}: is not encrypted, or public"
        if database.get("ManageMasterUserPassword") is not True or "MasterUserPassword" in database:
            yield f"{name}: its password is somebody's"
        if stack.resources[name].get("DeletionPolicy") not in ("Snapshot", "Retain"):
            yield f"{name}: goes with its stack"
    for name, queue in stack.of_type("AWS::ElastiCache::ReplicationGroup").items():
        if queue.get("TransitEncryptionEnabled") is not True or queue.get("TransitEncryptionMode") != "required":
            yield f"{name}: takes plain text"
        if queue.get("AtRestEncryptionEnabled") is not True or not queue.get("AuthToken"):
            yield f"{name}: is not encrypted, or has no password"
        if queue.get("ClusterMode") != "disabled" or "NumNodeGroups" in queue:
            yield f"{name}: cluster mode, which our client does not speak"
        if not queue.get("SnapshotRetentionLimit"):
            yield f"{name}: has no snapshots"
    for name, parameters in stack.of_type("AWS::ElastiCache::ParameterGroup").items():
        if parameters["Properties"].get("maxmemory-policy") != "noeviction":
            yield f"{name}: throws away unread ticks"
    for name, files in stack.of_type("AWS::EFS::FileSystem").items():
        if files.get("Encrypted") is not True or stack.resources[name].get("DeletionPolicy") != "Retain":
            yield f"{name}: is not encrypted, or goes with its stack"
    for name, group in stack.of_type("AWS::Logs::LogGroup").items():
        if "RetentionInDays" not in group:
            yield f"{name}: keeps lines for ever"
