"""Ctrl-C on `midstream serve`: it says what it waits for, and a second one ends the wait."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.cli import PATIENCE_S, until
from tests.support.serving import Serving


def test_ctrl_c_says_that_it_drains_and_a_second_one_hastens_it(tmp_path: Path) -> None:
    servers = Serving(tmp_path, environment={}, names=("control",))
    try:
        # A server that does nothing at all any more: it drains for as long as it is let.
        os.kill(servers.server_pid("control"), signal.SIGSTOP)
        servers.process.send_signal(signal.SIGINT)
        until(lambda: "stopping every server; a second signal does not wait" in servers.log.read_text(), what="a word")

        servers.process.send_signal(signal.SIGINT)
        code = servers.process.wait(timeout=PATIENCE_S)
    finally:
        servers.kill()

    assert code == 0
    # It was not waited for in vain: that would be told.
    assert "did not stop" not in servers.log.read_text()
