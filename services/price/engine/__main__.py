"""The price engine: `python -m services.price.engine`, started by the price server."""

from services.runtime.kernels import launch

if __name__ == "__main__":
    launch("services.price.engine.main:main")
