"""Say clearly when the extension modules have not been built."""

from __future__ import annotations

import importlib
import signal
import sys
from pathlib import Path
from typing import Final, NoReturn, cast

import fastpath
from services.runtime.errors import StartRefused
from services.runtime.lost_output import forgive_stderr
from services.runtime.printable import printable

# Each kernel has a stub, which is installed with it; setup.py builds the `.pyx` of the same names.
KERNELS: Final = tuple(sorted(stub.stem for path in fastpath.__path__ for stub in Path(path).glob("*.pyi")))

FIX: Final = "run `make build-ext` (it needs a C++ compiler and the Python headers)"


def require_kernels() -> None:
    """Raise StartRefused when an extension module is missing or does not load."""
    for name in KERNELS:
        try:
            importlib.import_module(f"fastpath.{name}")
        except ImportError as exc:
            raise kernel_refused(exc) from exc


def is_kernel_error(exc: ImportError) -> bool:
    """Tell whether an import failed because of our extension (and not because of something else that is missing)."""
    names = {f"fastpath.{name}" for name in KERNELS}
    return exc.name in names or any(
        name.removeprefix("fastpath.") in str(exc) and "fastpath" in str(exc) for name in names
    )


def kernel_refused(exc: ImportError) -> StartRefused:
    """Return the error that names the fix."""
    return StartRefused(f"the extension module {exc.name or 'fastpath'} is not built for this Python: {FIX}")


def launch(target: str) -> NoReturn:
    """Import `module:function`, call it and exit with its result; for `__main__` modules.

    A missing build and a StartRefused become one line on stderr and an exit code.
    """
    forgive_stderr()
    # A SIGTERM while the imports run finds nothing to drain yet; the server puts its own handler in this one's place.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    module_name, _, function_name = target.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name or "main")
        code = cast("int | None", function())
    except ImportError as exc:
        if not is_kernel_error(exc):
            raise
        _complain(kernel_refused(exc))
    except StartRefused as exc:
        _complain(exc)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if code is None else code)


def _complain(exc: StartRefused) -> NoReturn:
    print(printable(exc.message), file=sys.stderr)  # noqa: T201  (the one line of a refusal)
    sys.exit(exc.exit_code)
