"""The Kubernetes manifests are valid, fit the code, and each rule that says so finds what is wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.deployment.kubernetes.manifests import RULES, Manifest, Tree, read_tree

Rule = Callable[[Tree], Iterator[str]]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_manifests_keep_the_rule(rule: Rule) -> None:
    assert list(rule(read_tree())) == []


def core(tree: Tree) -> Manifest:
    return tree.named("Deployment", "midstream-core")


def pod(tree: Tree) -> Manifest:
    found: Manifest = core(tree)["spec"]["template"]["spec"]
    return found


def replay(tree: Tree) -> Manifest:
    found: Manifest = pod(tree)["containers"][0]
    return found


def _set(*path: Any, value: Any) -> Callable[[Manifest], None]:
    def change(manifest: Manifest) -> None:
        for step in path[:-1]:
            manifest = manifest[step]
        if value is None:
            del manifest[path[-1]]
        else:
            manifest[path[-1]] = value

    return change


FAULTS: list[tuple[str, Callable[[Tree], Manifest], Callable[[Manifest], None]]] = [
    ("schemas", replay, lambda one: one["readinessProbe"]["grpc"].update(prot=1)),
    ("schemas", core, _set("spec", "replicas", value="one")),
    ("listed_files", lambda tree: tree.kustomization, lambda one: one["resources"].remove("orders.yaml")),
    ("listed_files", lambda tree: tree.kustomization, lambda one: one["resources"].append("valkey.yaml")),
    ("listed_files", replay, _set("image", value="midstram")),
    ("commands", replay, _set("args", value=["serve", "price"])),
    ("commands", replay, _set("command", value=["python"])),
    ("ports", replay, _set("ports", 0, "containerPort", value=50059)),
    (
        "ports",
        lambda tree: tree.named("Service", "midstream-price"),
        _set("spec", "ports", 0, "targetPort", value="grpc"),
    ),
    ("ports", lambda tree: tree.named("Service", "midstream-price"), _set("spec", "ports", 0, "port", value=50051)),
    (
        "ports",
        lambda tree: tree.named("NetworkPolicy", "midstream-orders"),
        _set("spec", "ingress", 0, "ports", 0, "port", value=50054),
    ),
    ("probes", replay, _set("readinessProbe", "grpc", "service", value="midstream.replay.v1.Replay")),
    ("probes", replay, _set("livenessProbe", "grpc", "service", value="midstream.replay.v1.ReplayService")),
    ("probes", replay, _set("startupProbe", value=None)),
    (
        "probes",
        lambda tree: tree.named("ConfigMap", "midstream-settings"),
        _set("data", "MIDSTREAM_ADMIN_HOST", value=None),
    ),
    (
        "settings",
        lambda tree: tree.named("ConfigMap", "midstream-settings"),
        _set("data", "MIDSTREAM_LOG_LEVLE", value="info"),
    ),
    ("settings", replay, lambda one: one["env"].append({"name": "MIDSTREAM_ORDERS_KILL_FILE", "value": "/tmp/kill"})),
    ("settings", pod, _set("enableServiceLinks", value=None)),
    ("secrets", replay, _set("env", 0, value={"name": "MIDSTREAM_REDIS_URL", "value": "redis://:pw@redis:6379/0"})),
    ("secrets", lambda tree: tree.named("Service", "midstream-price"), _set("kind", value="Secret")),
    ("hardening", pod, _set("securityContext", "runAsUser", value=0)),
    ("hardening", pod, _set("securityContext", "seccompProfile", value=None)),
    ("hardening", pod, _set("hostNetwork", value=True)),
    ("hardening", pod, _set("automountServiceAccountToken", value=None)),
    ("hardening", pod, _set("terminationGracePeriodSeconds", value=5)),
    ("hardening", replay, _set("securityContext", "readOnlyRootFilesystem", value=False)),
    ("hardening", replay, _set("securityContext", "capabilities", value=None)),
    ("hardening", replay, lambda one: one["volumeMounts"].pop(1)),
    ("hardening", replay, _set("resources", "limits", value=None)),
    ("singletons", core, _set("spec", "strategy", value={"type": "RollingUpdate"})),
    ("singletons", core, _set("spec", "replicas", value=2)),
    ("selectors", core, _set("spec", "selector", "matchLabels", value={"app": "other"})),
    (
        "selectors",
        lambda tree: tree.named("PodDisruptionBudget", "midstream-core"),
        _set("spec", "maxUnavailable", value=0),
    ),
    (
        "selectors",
        lambda tree: tree.named("PodDisruptionBudget", "midstream-core"),
        _set("spec", "selector", "matchLabels", value={"app": "other"}),
    ),
    (
        "selectors",
        lambda tree: tree.named("Service", "midstream-price"),
        _set("spec", "selector", value={"app": "other"}),
    ),
    ("selectors", lambda tree: pod(tree)["volumes"][0], _set("persistentVolumeClaim", "claimName", value="elsewhere")),
    ("network", lambda tree: tree.named("NetworkPolicy", "midstream-deny"), _set("spec", "ingress", value=[{}])),
    (
        "network",
        lambda tree: tree.named("NetworkPolicy", "midstream-orders"),
        _set("spec", "ingress", 0, "from", value=None),
    ),
    (
        "network",
        lambda tree: tree.named("NetworkPolicy", "midstream-orders"),
        _set("spec", "egress", 1, "to", 0, "ipBlock", "except", value=None),
    ),
]


@pytest.mark.cases(10)
@pytest.mark.parametrize(
    ("rule", "where", "fault"), FAULTS, ids=[f"{rule}-{number}" for number, (rule, _, _) in enumerate(FAULTS)]
)
def test_the_rule_finds_a_planted_fault(
    rule: str, where: Callable[[Tree], Manifest], fault: Callable[[Manifest], None]
) -> None:
    tree = copy.deepcopy(read_tree())
    fault(where(tree))

    assert list({each.__name__: each for each in RULES}[rule](tree)) != []


def test_every_rule_has_a_planted_fault() -> None:
    assert {rule for rule, _, _ in FAULTS} == {rule.__name__ for rule in RULES}
