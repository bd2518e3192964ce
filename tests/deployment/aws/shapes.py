"""Every stack that docs/aws.md has somebody make, for each stage and server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from services.cli.servers import SERVERS
from tests.support.cloudformation import STAGES, Stack, resolve, template

DEPLOYED: Final = tuple(name for name, server in SERVERS.items() if server.scheme == "grpc")
PUBLIC: Final = tuple(name for name in DEPLOYED if SERVERS[name].web)
DOMAIN: Final = "desk.example"


def server_parameters(stage: str, server: str) -> dict[str, Any]:
    """Return what a server's stack is given; of orders everything that there is."""
    given: dict[str, Any] = {"Stage": stage, "Server": server, "ImageTag": "3f2c1ab"}
    if server in PUBLIC:
        given["Domain"] = DOMAIN
    if server == "orders":
        given |= {"Trading": "live" if stage == "prod" else "testnet", "ExchangeKeys": "yes"}
        given |= {"NotionalMax": "1000", "PositionMax": "5000", "LossMax": "500"}
    if server == "replay":
        given["Historical"] = "/recordings/*.csv"
    if server == "power-etl":
        given["ReferenceUrl"] = "https://prices.example"
    return given


def stage_parameters(stage: str) -> dict[str, dict[str, Any]]:
    """Return what the stacks of a stage are given, by template."""
    return {
        "data": {"Stage": stage, "VpcId": "vpc-1", "PrivateSubnetA": "subnet-1", "PrivateSubnetB": "subnet-2"},
        "cluster": {
            "Stage": stage,
            "SubnetIds": ["subnet-1", "subnet-2"],
            "ClientCidr": "10.0.0.0/16",
            "CertificateArn": "arn:aws:acm:eu-central-1:000000000000:certificate/1",
        },
        "monitoring": {"Stage": stage},
        "platform": {"Stage": stage},
        "dashboard": {"Stage": stage},
    }


def stacks() -> Iterator[tuple[str, Stack]]:
    """Return every stack with a name for people."""
    for stage in STAGES:
        for name, given in stage_parameters(stage).items():
            yield f"{stage}-{name}", resolve(template(name), **given)
        for server in DEPLOYED:
            yield f"{stage}-{server}-access", resolve(template("access"), Stage=stage, Server=server)
            yield f"{stage}-{server}", resolve(template("server"), **server_parameters(stage, server))
        for server in PUBLIC:
            yield f"{stage}-{server}-entrance", resolve(template("entrance"), Stage=stage, Server=server, Domain=DOMAIN)
