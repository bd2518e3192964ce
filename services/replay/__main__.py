"""Start the replay server: `python -m services.replay`."""

from services.runtime.kernels import launch

if __name__ == "__main__":
    launch("services.replay.server:main")
