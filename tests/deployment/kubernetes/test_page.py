"""docs/kubernetes.md says what the manifests say."""

from __future__ import annotations

import re

from tests.deployment.kubernetes.manifests import read_tree, server_of
from tests.support.imports import ROOT

PAGE = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")


def rows(header: str) -> list[list[str]]:
    table = PAGE[PAGE.index(header) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_every_secret_that_a_container_asks_for_has_a_row() -> None:
    tree = read_tree()
    asked = {
        (secret["name"], secret["key"])
        for container in tree.containers
        for one in container.get("env", ())
        if (secret := one.get("valueFrom", {}).get("secretKeyRef"))
    }
    told = {(row[0].strip("`"), key) for row in rows("| secret |") for key in re.findall(r"`([^`]+)`", row[1])}

    assert asked | {("midstream-tls", "tls.crt"), ("midstream-tls", "tls.key")} == told


def test_the_table_of_deployments_is_what_is_deployed() -> None:
    deployed = {
        deployment["metadata"]["name"]: (
            [server_of(container) for container in deployment["spec"]["template"]["spec"]["containers"]],
            deployment["spec"]["replicas"],
            deployment["spec"]["strategy"].get("type") == "Recreate",
        )
        for deployment in read_tree().of("Deployment")
    }
    told = {
        row[0].strip("`"): (row[1].replace(", a container each", "").split(", "), int(row[2][0]), "Recreate" in row[2])
        for row in rows("| deployment |")
    }

    assert told == deployed


def test_the_services_are_those_of_the_page() -> None:
    services = read_tree().of("Service")
    callable_ports = {
        f"{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
        for service in services
        if service["spec"]["ports"][0]["name"] == "grpc"
    }

    assert set(re.findall(r"`(midstream-[a-z]+:\d+)`", PAGE)) == callable_ports
