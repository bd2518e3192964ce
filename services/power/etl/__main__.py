"""Start the reference-price process: `python -m services.power.etl`."""

from services.runtime.kernels import launch

if __name__ == "__main__":
    launch("services.power.etl.server:main")
