"""Builds the Cython kernels. Everything else about the package stands in pyproject.toml.

Every `fastpath/*.pyx` is a kernel. It is built again when its text changed, or a header or `.pxd` that it uses, or one of these switches:
FASTPATH_DEBUG=1 puts every check of bounds back, FASTPATH_SANITIZE=1 builds for `make sanitize`, and FASTPATH_ANNOTATE=1 writes
`build/cython-annotated/fastpath/NAME.html`, which shows where Python is called. FASTPATH_SKIP=1 leaves the kernels out, for
installing a tree that builds them in place.
"""

import os
import re
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

FASTPATH = Path(__file__).parent / "fastpath"
KERNELS = sorted(path.stem for path in FASTPATH.glob("*.pyx"))

DEBUG = os.environ.get("FASTPATH_DEBUG") == "1"
SANITIZE = os.environ.get("FASTPATH_SANITIZE") == "1"
ANNOTATE = os.environ.get("FASTPATH_ANNOTATE") == "1"
SKIP = os.environ.get("FASTPATH_SKIP") == "1"

# Some Pythons ask for debug symbols, which would be three quarters of what is installed.
COMPILE_ARGS = ["-std=c++17", "-O3", "-g0", "-fvisibility=hidden"]
LINK_ARGS: list[str] = []
if SANITIZE:
    LINK_ARGS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    COMPILE_ARGS = ["-std=c++17", "-O1", "-g", "-fno-omit-frame-pointer", *LINK_ARGS]

_HEADER = re.compile(r'^\s*(?:#include|cdef extern from)\s+"(\w+\.hpp)"', re.MULTILINE)
_CIMPORT = re.compile(r"^\s*(?:from|cimport)\s+fastpath\.(\w+)(?=\s+cimport|\s*$)", re.MULTILINE)


def used_files(kernel: str) -> set[str]:
    """Return the names of the headers and `.pxd` files that a kernel uses, by itself or through another one of them."""
    used: set[str] = set()
    unread = [f"{kernel}.pyx", f"{kernel}.pxd"]
    while unread:
        name = unread.pop()
        if name in used or not (FASTPATH / name).exists():
            continue
        used.add(name)
        text = (FASTPATH / name).read_text(encoding="utf-8")
        unread += _HEADER.findall(text)
        unread += [f"{module}.pxd" for module in _CIMPORT.findall(text)]
    return used - {f"{kernel}.pyx"}


def switches_file() -> str:
    """Write down the switches that change what the compiler makes; the file is new when they are others than last time."""
    path = Path("build", "switches.txt")
    switches = f"debug={DEBUG} sanitize={SANITIZE}\n"
    if not path.exists() or path.read_text(encoding="utf-8") != switches:
        path.parent.mkdir(exist_ok=True)
        path.write_text(switches, encoding="utf-8")
    return str(path)


def extensions() -> list[Extension]:
    """Return the kernels as setuptools wants them, with what each is built from."""
    switches = switches_file()
    return [
        Extension(
            f"fastpath.{kernel}",
            [f"fastpath/{kernel}.pyx"],
            language="c++",
            include_dirs=["fastpath"],
            depends=[switches, *sorted(f"fastpath/{name}" for name in used_files(kernel))],
            extra_compile_args=COMPILE_ARGS,
            extra_link_args=LINK_ARGS,
        )
        for kernel in KERNELS
    ]


if __name__ == "__main__":
    setup(
        # Compiling is most of `make run` on a fresh machine.
        options={"build_ext": {"parallel": os.cpu_count() or 1}},
        ext_modules=[]
        if SKIP
        else cythonize(
            extensions(),
            # Cython looks at the times of files alone, so each switch that changes its C++ has a folder.
            build_dir="build/cython" + "-checked" * DEBUG + "-annotated" * ANNOTATE,
            annotate=ANNOTATE,
            compiler_directives={
                "language_level": "3",
                # Kernels hold C++ state that cannot be pickled; without the stubs of pickling the type stubs match as well.
                "auto_pickle": False,
                "boundscheck": DEBUG,
                "wraparound": DEBUG,
                "initializedcheck": DEBUG,
                "cdivision": not DEBUG,
                "freethreading_compatible": False,
            },
        ),
    )
