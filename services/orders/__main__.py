"""Start the orders server: `python -m services.orders`."""

from services.runtime.kernels import launch

if __name__ == "__main__":
    launch("services.orders.server:main")
