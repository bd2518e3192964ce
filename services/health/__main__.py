"""Start the health server: `python -m services.health`."""

from services.runtime.kernels import launch

if __name__ == "__main__":
    launch("services.health.server:main")
