"""The replay engine: `python -m services.replay.engine`, started by the replay server."""

from services.runtime.kernels import launch

if __name__ == "__main__":
    launch("services.replay.engine.main:main")
