"""Start the control server: `python -m services.control`."""

from services.runtime.kernels import launch

if __name__ == "__main__":
    launch("services.control.server:main")
