"""Looks through the root file system of an image for what has no business there."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_BUILDERS = re.compile(
    r"(?:[\w]+-linux-gnu-)?(?:gcc|g\+\+|c\+\+|cc|cc1|cc1plus|cpp|clang|tcc|ld|gold|as|ar|make|gmake|cmake|ninja|meson|m4|autoconf|rustc|"
    r"cargo|go|javac|cython|cythonize|python3?(?:\.\d+)?-config|pkg-config)(?:-[\d.]+)?(?:\.\w+)?"
)
_INSTALLERS = re.compile(
    r"(?:pip|pip3|pip3?\.\d+|easy_install|setuptools|wheel|ensurepip|uv|pipx|poetry|conda|npm|gem)", re.IGNORECASE
)
_TOOLS = re.compile(r"(?:git|hg|svn|curl|wget|nc|ncat|telnet|ssh|scp|gdb|strace|tcpdump|vi|vim|nano)(?:\.\w+)?")
_SOURCES = (".pyx", ".pxd", ".pxi", ".c", ".cc", ".cpp", ".cxx", ".h", ".hpp", ".a", ".o", ".proto", ".pyi")
_PRIVATE = re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")
_SECRETS = re.compile(
    r"(?:\.env(?:\..+)?|\.netrc|\.pypirc|\.pgpass|\.npmrc|id_(?:rsa|ed25519|ecdsa)|credentials|pip\.conf)"
)
_SMALL = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One file, folder or link of the image."""

    place: PurePosixPath
    """As a process in there names it."""
    path: Path
    """As it is found out here."""
    status: os.stat_result

    @property
    def name(self) -> str:
        return self.place.name

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.status.st_mode)

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    def below(self, *folders: str) -> bool:
        """Whether it is inside of one of these folders, of which `*` stands for one name."""
        return any(each.match(folder) for each in self.place.parents for folder in folders)


@dataclass(frozen=True)
class Finding:
    """Something that should not be there."""

    rule: str
    place: str


def entries(root: Path) -> Iterator[Entry]:
    """Yield everything below `root`, by itself: no link is followed. Engines put a /dev of their own over the image's."""
    for folder, folders, files in os.walk(root):
        if Path(folder) == root and "dev" in folders:
            folders.remove("dev")
        for name in (*folders, *files):
            path = Path(folder, name)
            yield Entry(PurePosixPath("/", path.relative_to(root)), path, path.lstat())


def scan(root: Path, *, owner: int = 10001) -> list[Finding]:
    """Return what is superfluous or dangerous below `root`; `owner` is the user that its servers run as."""
    return [
        Finding(name, str(entry.place))
        for entry in entries(root)
        for name, breaks in RULES.items()
        if breaks(entry, owner)
    ]


def _is_program(entry: Entry) -> bool:
    return entry.place.parent.name in ("bin", "sbin") or "/libexec/" in str(entry.place) or "/gcc/" in str(entry.place)


def _builds(entry: Entry, _: int) -> bool:
    # The loader of programs has the name of a linker.
    return (
        _is_program(entry)
        and entry.name != "ld.so"
        and not entry.is_folder
        and _BUILDERS.fullmatch(entry.name) is not None
    )


def _installs(entry: Entry, _: int) -> bool:
    module = entry.name.partition("-")[0].removesuffix(".py")
    library = re.fullmatch(r"(?:site|dist)-packages|python[\d.]+", entry.place.parent.name)
    return bool(_is_program(entry) or library) and _INSTALLERS.fullmatch(module) is not None


def _helps_an_intruder(entry: Entry, _: int) -> bool:
    return _is_program(entry) and not entry.is_folder and _TOOLS.fullmatch(entry.name) is not None


def _tests(entry: Entry, _: int) -> bool:
    python = entry.below("site-packages", "dist-packages", "python3*") or entry.below("/opt/*", "/src")
    return python and entry.is_folder and entry.name in ("test", "tests")


def _is_history(entry: Entry, _: int) -> bool:
    return entry.name in (".git", ".hg", ".svn", ".gitignore", ".github", ".ci", ".venv")


def _is_source(entry: Entry, _: int) -> bool:
    return entry.is_file and entry.place.suffix in _SOURCES and not entry.below("*.dist-info")


def _is_cache(entry: Entry, _: int) -> bool:
    kept = ("lock", "partial", "auxfiles")
    downloaded = (
        entry.below("/var/lib/apt/lists", "/var/cache", "/root", "/tmp", "/var/tmp", "/src") and entry.name not in kept
    )
    named = entry.name in (".cache", ".pytest_cache", ".mypy_cache", ".hypothesis", ".ruff_cache")
    return named or (downloaded and entry.is_file and entry.status.st_size > 0 and not _is_shell_profile(entry))


def _is_shell_profile(entry: Entry) -> bool:
    return str(entry.place) in ("/root/.bashrc", "/root/.profile") or entry.below("/var/cache/debconf")


def _is_log(entry: Entry, _: int) -> bool:
    # Empty ones are how Debian hands out rights.
    return entry.is_file and entry.below("/var/log") and entry.status.st_size > 0


def _is_documentation(entry: Entry, _: int) -> bool:
    shared = entry.below("/usr/share/man", "/usr/share/info", "/usr/share/doc", "/usr/share/locale")
    return entry.is_file and shared and entry.name not in ("copyright", "locale.alias")


def _gives_rights(entry: Entry, _: int) -> bool:
    if not entry.is_file:
        return False
    becomes_another = entry.status.st_mode & (stat.S_ISUID | stat.S_ISGID)
    return bool(becomes_another) or "security.capability" in _attributes(entry.path)


def _attributes(path: Path) -> list[str]:
    # Only Linux has them, and only there there are images.
    return os.listxattr(path, follow_symlinks=False) if sys.platform == "linux" else []


def _anybody_writes(entry: Entry, _: int) -> bool:
    mode = entry.status.st_mode
    shared = entry.is_folder and mode & stat.S_ISVTX
    return not stat.S_ISLNK(mode) and bool(mode & stat.S_IWOTH) and not shared


def _servers_write(entry: Entry, owner: int) -> bool:
    return entry.status.st_uid == owner and str(entry.place) != "/var/lib/midstream"


def _is_device(entry: Entry, _: int) -> bool:
    mode = entry.status.st_mode
    return stat.S_ISBLK(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode)


def _is_secret(entry: Entry, _: int) -> bool:
    if not entry.is_file:
        return False
    if _SECRETS.fullmatch(entry.name):
        return True
    textual = entry.status.st_size <= _SMALL and entry.place.suffix not in (".py", ".pyc", ".so")
    return textual and _PRIVATE.search(entry.path.read_bytes()) is not None


RULES: dict[str, Callable[[Entry, int], bool]] = {
    "compiler or build tool": _builds,
    "installer": _installs,
    "tool that only an intruder needs": _helps_an_intruder,
    "tests": _tests,
    "version control": _is_history,
    "source for a compiler": _is_source,
    "cache or download": _is_cache,
    "log": _is_log,
    "documentation": _is_documentation,
    "setuid, setgid or capability": _gives_rights,
    "writable by anybody": _anybody_writes,
    "a program's file that its servers own": _servers_write,
    "device, socket or pipe": _is_device,
    "secret": _is_secret,
}
