"""Builds the Cython kernels. Everything else about the package stands in pyproject.toml."""

import glob
import os

from Cython.Build import cythonize
from setuptools import Extension, setup

# Every kernel compiles without bounds and wraparound checks; FASTPATH_DEBUG=1 puts every check back, and FASTPATH_SANITIZE=1
# builds with AddressSanitizer and UndefinedBehaviorSanitizer for `make sanitize`.
DEBUG = os.environ.get("FASTPATH_DEBUG") == "1"
SANITIZE = os.environ.get("FASTPATH_SANITIZE") == "1"
KERNELS = ["columns", "decode", "merge", "frame", "midprice", "survey"]
HEADERS = glob.glob("fastpath/*.hpp")

compile_args = ["-std=c++17", "-O3", "-fvisibility=hidden"]
link_args: list[str] = []
if SANITIZE:
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    compile_args = ["-std=c++17", "-O1", "-g", "-fno-omit-frame-pointer", *flags]
    link_args = flags

extensions = [
    Extension(
        f"fastpath.{name}",
        [f"fastpath/{name}.pyx"],
        language="c++",
        include_dirs=["fastpath"],
        depends=HEADERS,
        extra_compile_args=compile_args,
        extra_link_args=link_args,
    )
    for name in KERNELS
]

setup(
    # Compiling is most of `make run` on a fresh machine.
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
    ext_modules=cythonize(
        extensions,
        build_dir="build/cython",
        annotate=os.environ.get("FASTPATH_ANNOTATE") == "1",
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
