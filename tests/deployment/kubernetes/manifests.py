"""What has to be so of the Kubernetes manifests; each rule returns what is wrong, in words."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import yaml

from services.cli.child import STOP_GRACE_S
from services.cli.servers import SERVERS, environment_prefix
from services.cli.settings_catalogue import settings_of
from services.runtime.addresses import ADMIN_PORT_OFFSET
from services.runtime.health import LIVE
from services.runtime.known_settings import unknown_settings
from tests.support.imports import ROOT

FOLDER: Final = ROOT / "deploy" / "kubernetes"
VERSION: Final = "1.37"
USER: Final = 10001
SINGLETONS: Final = frozenset({"replay", "control", "price", "orders", "power-listener", "power-etl"})
"""Servers of which a second one waits for a lease, an epoch or a lock of the first."""

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Tree:
    """A folder of manifests, as read."""

    kustomization: Manifest
    files: Mapping[str, Sequence[Manifest]]

    @property
    def all(self) -> Iterator[Manifest]:
        for manifests in self.files.values():
            yield from manifests

    def of(self, kind: str) -> list[Manifest]:
        return [manifest for manifest in self.all if manifest["kind"] == kind]

    def named(self, kind: str, name: str) -> Manifest:
        return next(manifest for manifest in self.of(kind) if manifest["metadata"]["name"] == name)

    @property
    def pods(self) -> list[Manifest]:
        return [deployment["spec"]["template"] for deployment in self.of("Deployment")]

    @property
    def containers(self) -> list[Manifest]:
        return [container for pod in self.pods for container in pod["spec"]["containers"]]


def read_tree(folder: Path = FOLDER) -> Tree:
    files = {path.name: list(yaml.safe_load_all(path.read_text())) for path in sorted(folder.glob("*.yaml"))}
    [kustomization] = files.pop("kustomization.yaml")
    return Tree(kustomization, files)


def server_of(container: Manifest) -> str:
    return str(container["args"][-1])


def environment_of(tree: Tree, container: Manifest) -> dict[str, str]:
    """Return what a container is started with, `<secret>/<key>` standing for what only the cluster knows."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= tree.named("ConfigMap", source["configMapRef"]["name"])["data"]
    for one in container.get("env", ()):
        secret = one.get("valueFrom", {}).get("secretKeyRef")
        found[one["name"]] = one["value"] if secret is None else f"{secret['name']}/{secret['key']}"
    return found


@functools.cache
def settings_read_by(server: str) -> frozenset[str]:
    return frozenset(name for each in settings_of(server) for name in (each.name, *each.also))


def schemas(tree: Tree) -> Iterator[str]:
    for manifest in tree.all:
        try:
            kubernetes_validate.validate(manifest, VERSION, strict=True)
        except kubernetes_validate.ValidationError as exc:
            yield f"{manifest['kind']} {manifest['metadata']['name']}: {exc.message}"


def listed_files(tree: Tree) -> Iterator[str]:
    listed = tree.kustomization["resources"]
    yield from (f"{name} is not listed" for name in tree.files if name not in listed)
    yield from (f"{name} is listed and not there" for name in listed if name not in tree.files)
    images = {image["name"] for image in tree.kustomization["images"]}
    yield from (f"image {each['image']} has no place" for each in tree.containers if each["image"] not in images)


def commands(tree: Tree) -> Iterator[str]:
    started = [server_of(container) for container in tree.containers]
    wanted = [name for name in SERVERS if not name.startswith("sim-")]
    if sorted(started) != sorted(wanted):
        yield f"started are {started}"
    for container in tree.containers:
        if container["args"][:-1] != ["serve"] or "command" in container:
            yield f"{container['name']}: the image's entry point is `midstream`, and takes `serve NAME`"


def ports(tree: Tree) -> Iterator[str]:
    for container in tree.containers:
        name = server_of(container)
        server, prefix = SERVERS[name], environment_prefix(name)
        defaults = {each.name: each.default.strip('"') for each in settings_of(name)}
        wanted = {server.port, server.port + ADMIN_PORT_OFFSET, int(defaults[f"{prefix}_METRICS_PORT"])}
        wanted |= {server.web} if server.web else set()
        if {port["containerPort"] for port in container["ports"]} != wanted:
            yield f"{name}: its ports are {sorted(wanted)}"
    for service in tree.of("Service"):
        pods = [pod for pod in tree.pods if _selects(service["spec"]["selector"], pod)]
        named = {each["name"] for pod in pods for one in pod["spec"]["containers"] for each in one["ports"]}
        numbers = {
            each["name"]: each["containerPort"]
            for pod in pods
            for one in pod["spec"]["containers"]
            for each in one["ports"]
        }
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in named:
                yield f"service {service['metadata']['name']}: no container has a port {port['targetPort']}"
            elif numbers[port["targetPort"]] != port["port"]:
                yield f"service {service['metadata']['name']}: {port['port']} is not {port['targetPort']}"
    for policy in tree.of("NetworkPolicy"):
        pods = [pod for pod in tree.pods if _selects(policy["spec"]["podSelector"].get("matchLabels", {}), pod)]
        open_ports = {
            each["containerPort"] for pod in pods for one in pod["spec"]["containers"] for each in one["ports"]
        }
        for rule in policy["spec"].get("ingress", ()):
            for port in rule["ports"]:
                if port["port"] not in open_ports:
                    yield f"policy {policy['metadata']['name']}: nobody listens on {port['port']}"


def probes(tree: Tree) -> Iterator[str]:
    """Starting and living is the process's; readiness is its service's. A kubelet asks from outside, in plain text."""
    for container in tree.containers:
        name = server_of(container)
        port = SERVERS[name].port + ADMIN_PORT_OFFSET
        ready = {"port": port, "service": SERVERS[name].service} if SERVERS[name].service else {"port": port}
        for probe, wanted in (("startupProbe", LIVE), ("livenessProbe", LIVE)):
            if container.get(probe, {}).get("grpc") != {"port": port, "service": wanted}:
                yield f"{name}: {probe} has to ask {port} for {wanted}"
        if container.get("readinessProbe", {}).get("grpc") != ready:
            yield f"{name}: readinessProbe has to ask {ready}"
        if environment_of(tree, container).get("MIDSTREAM_ADMIN_HOST") != "0.0.0.0":
            yield f"{name}: the kubelet reaches no port of loopback"


def settings(tree: Tree) -> Iterator[str]:
    for container in tree.containers:
        name = server_of(container)
        for setting in unknown_settings(environment_of(tree, container)):
            yield f"{name}: {setting} is no setting"
        for one in container.get("env", ()):
            if (
                one["name"] not in settings_read_by(name)
                and not unknown_settings({one["name"]: ""})
                and "_API_" not in one["name"]
            ):
                yield f"{name}: does not read {one['name']}"
    for pod in tree.pods:
        # Kubernetes would put MIDSTREAM_REPLAY_PORT=tcp://... there for a service of that name.
        if pod["spec"].get("enableServiceLinks", True):
            yield f"{pod['metadata']['labels']}: services of the namespace become settings"


def secrets(tree: Tree) -> Iterator[str]:
    if tree.of("Secret"):
        yield "a secret is in the tree"
    sensitive = ("_URL", "_SECRET", "_KEY", "PASSWORD", "TOKEN")
    for container in tree.containers:
        for name, value in environment_of(tree, container).items():
            path = value.startswith("/") or ("/" in value and value.split("/")[0].startswith("midstream-"))
            if name.endswith(sensitive) and not path:
                yield f"{container['name']}: {name} is written down"


def hardening(tree: Tree) -> Iterator[str]:
    for pod in tree.pods:
        name, spec = pod["metadata"]["labels"]["app.kubernetes.io/component"], pod["spec"]
        context = spec.get("securityContext", {})
        if not context.get("runAsNonRoot") or context.get("runAsUser") != USER or context.get("fsGroup") != USER:
            yield f"{name}: runs as {context.get('runAsUser')}"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name}: no seccomp profile"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{name}: has a token of Kubernetes"
        if any(spec.get(shared) for shared in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{name}: shares with its node"
        if spec["terminationGracePeriodSeconds"] < 2 * STOP_GRACE_S:
            yield f"{name}: is killed while it drains"
        kinds = {volume["name"]: volume for volume in spec["volumes"]}
        for container in spec["containers"]:
            inner = container.get("securityContext", {})
            if inner.get("allowPrivilegeEscalation") is not False or not inner.get("readOnlyRootFilesystem"):
                yield f"{container['name']}: may write or become more"
            if inner.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{container['name']}: keeps capabilities"
            mounts = {mount["mountPath"]: kinds[mount["name"]] for mount in container["volumeMounts"]}
            if "emptyDir" not in mounts.get("/tmp", {}):
                yield f"{container['name']}: nowhere to put what is temporary"
            if "/var/lib/midstream" not in mounts:
                yield f"{container['name']}: nowhere to keep files"
            resources = container.get("resources", {})
            if "memory" not in resources.get("limits", {}) or not {"cpu", "memory"} <= set(
                resources.get("requests", {})
            ):
                yield f"{container['name']}: takes what it likes"


def singletons(tree: Tree) -> Iterator[str]:
    for deployment in tree.of("Deployment"):
        servers = {server_of(container) for container in deployment["spec"]["template"]["spec"]["containers"]}
        alone = deployment["spec"]["replicas"] == 1 and deployment["spec"]["strategy"]["type"] == "Recreate"
        if servers & SINGLETONS and not alone:
            yield f"{deployment['metadata']['name']}: two of it would wait for each other"


def selectors(tree: Tree) -> Iterator[str]:
    """Everything that selects pods selects some, and each kind of pod has its policy and its budget."""
    for deployment in tree.of("Deployment"):
        template = deployment["spec"]["template"]
        if not _selects(deployment["spec"]["selector"]["matchLabels"], template):
            yield f"{deployment['metadata']['name']}: does not select its own pods"
        for kind in ("PodDisruptionBudget", "NetworkPolicy"):
            found = [
                one for one in tree.of(kind) if _selected_labels(one) and _selects(_selected_labels(one), template)
            ]
            if kind == "NetworkPolicy":
                found = [one for one in found if "Ingress" in one["spec"]["policyTypes"]]
            if len(found) != 1:
                yield f"{deployment['metadata']['name']}: has {len(found)} of {kind}"
        for volume in template["spec"]["volumes"]:
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim and claim not in {one["metadata"]["name"] for one in tree.of("PersistentVolumeClaim")}:
                yield f"{deployment['metadata']['name']}: there is no claim {claim}"
    for budget in tree.of("PodDisruptionBudget"):
        if budget["spec"].get("maxUnavailable") != 1:
            yield f"{budget['metadata']['name']}: a drain of its node would never end"
    for service in tree.of("Service"):
        if not any(_selects(service["spec"]["selector"], pod) for pod in tree.pods):
            yield f"service {service['metadata']['name']}: selects nothing"


def network(tree: Tree) -> Iterator[str]:
    everything = [one for one in tree.of("NetworkPolicy") if one["spec"]["podSelector"] == {}]
    if not any(
        set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"} and not {"ingress", "egress"} & set(one["spec"])
        for one in everything
    ):
        yield "nothing is denied by default"
    for policy in tree.of("NetworkPolicy"):
        for rule in policy["spec"].get("ingress", ()):
            if not rule.get("from"):
                yield f"{policy['metadata']['name']}: lets everybody in"
        for rule in policy["spec"].get("egress", ()):
            for block in (peer["ipBlock"] for peer in rule.get("to", ()) if "ipBlock" in peer):
                if block["cidr"] == "0.0.0.0/0" and "169.254.0.0/16" not in block.get("except", ()):
                    yield f"{policy['metadata']['name']}: reaches what gives out credentials"


RULES: Final[tuple[Callable[[Tree], Iterator[str]], ...]] = (
    schemas, listed_files, commands, ports, probes, settings, secrets, hardening, singletons, selectors, network,
)  # fmt: skip


def _selected_labels(manifest: Manifest) -> dict[str, str]:
    selector = manifest["spec"].get("selector") or manifest["spec"].get("podSelector") or {}
    return dict(selector.get("matchLabels", {}))


def _selects(labels: Mapping[str, str], pod: Manifest) -> bool:
    return labels.items() <= pod["metadata"]["labels"].items()
