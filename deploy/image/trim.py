"""Take what no server uses out of an environment that is about to become an image.

Usage: trim.py ENVIRONMENT. Whatever is removed disappears from its package's RECORD, too, which then still tells the truth.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCES = (".pyx", ".pxd", ".pxi", ".pyi", ".c", ".cc", ".cpp", ".cxx", ".h", ".hpp", ".proto", ".a")
"""What compilers and type checkers read."""
TESTS = ("test", "tests")
AWS_SERVICES = ("ssm", "sts", "sso", "sso-oidc", "signin")
"""Of the hundreds that botocore describes: Parameter Store, and those that credentials are had from."""


def superfluous(site: Path) -> Iterator[Path]:
    """Yield the files and folders below `site-packages` that nothing reads at run time."""
    for path in sorted(site.rglob("*")):
        # What a package says about itself stays whole, its licences first of all.
        about = path.relative_to(site).parts[0].endswith(".dist-info")
        if not about and (path.suffix in SOURCES if path.is_file() else path.name in (*TESTS, "__pycache__")):
            yield path
    services = site / "botocore" / "data"
    if services.is_dir():
        yield from (each for each in sorted(services.iterdir()) if each.is_dir() and each.name not in AWS_SERVICES)
    # The descriptions of boto3's resources, of which there is none for Parameter Store.
    yield from sorted((site / "boto3").glob("data/*/"))
    yield from sorted((site / "boto3").glob("examples/"))


def superfluous_programs(environment: Path) -> Iterator[Path]:
    """Yield what is beside the libraries: commands of other packages, what shells read to enter it, headers."""
    kept = ("midstream", "python")
    yield from sorted(each for each in (environment / "bin").iterdir() if not each.name.startswith(kept))
    yield from (
        each for each in (environment / "include", environment / "share", environment / ".gitignore") if each.exists()
    )


def remove(site: Path, paths: list[Path]) -> None:
    """Remove these, and their lines in what the packages say was installed."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            # It may have gone with its folder.
            path.unlink(missing_ok=True)
    for record in site.glob("*.dist-info/RECORD"):
        lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
        record.write_text("".join(line for line in lines if _is_there(site, line)), encoding="utf-8")


def _is_there(site: Path, line: str) -> bool:
    # `name,hash,size`, where the name is quoted if a comma is in it.
    name = line.rsplit(",", 2)[0].strip('"')
    return (site / name).exists()


def main() -> None:
    """Trim every `site-packages` of one environment, and say how much went."""
    environment = Path(sys.argv[1])
    for site in environment.glob("lib/python3*/site-packages"):
        before = _bytes(site)
        remove(site, [*superfluous(site), *superfluous_programs(environment)])
        sys.stdout.write(f"trimmed {site}: {before / 1e6:.0f} MB -> {_bytes(site) / 1e6:.0f} MB\n")


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
