"""Start the deals listener: `python -m services.power.listener`."""

from services.runtime.kernels import launch

if __name__ == "__main__":
    launch("services.power.listener.server:main")
