"""Start the price server: `python -m services.price`."""

from services.runtime.kernels import launch

if __name__ == "__main__":
    launch("services.price.server:main")
