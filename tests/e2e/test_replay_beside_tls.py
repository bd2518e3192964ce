"""`midstream replay` in an environment that is set for guarded servers: its own are private, and take none of it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.cli import ROOT, midstream
from tests.support.ports import taken_port


def test_settings_of_guarded_servers_do_not_reach_those_of_one_run(tmp_path: Path) -> None:
    with taken_port() as taken:
        done = midstream(
            "replay",
            ROOT / "data" / "historical_sample.csv",
            "--out",
            tmp_path / "out",
            "--json",
            environment={
                "MIDSTREAM_TLS_CERT": "/no/such/server.pem",
                "MIDSTREAM_TLS_KEY": "/no/such/server-key.pem",
                "MIDSTREAM_TLS_CLIENT_CA": "/no/such/ca.pem",
                "MIDSTREAM_AUTH": "certificates",
                "MIDSTREAM_TLS_ROLES": "dns:ops.internal=admin",
                "MIDSTREAM_HOST": "0.0.0.0",
                # Where those of `serve` have their health.
                "MIDSTREAM_REPLAY_ADMIN_PORT": str(taken),
                "MIDSTREAM_PRICE_ADMIN_PORT": str(taken),
            },
        )

    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["rows_in"] > 0
