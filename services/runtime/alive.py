"""Whether a process is there."""

from __future__ import annotations

import os


def is_alive(pid: int) -> bool:
    """Tell whether there is a process with this id, whoever it belongs to."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Somebody else's: it is there.
        pass
    return True
