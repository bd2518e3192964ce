"""Start the reporting server: `python -m services.reporting`."""

from services.runtime.kernels import launch

if __name__ == "__main__":
    launch("services.reporting.server:main")
