"""Which Redis is too open to be used, and how the files of TLS come into its URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.runtime.redis_tls import exposure, secured
from services.runtime.settings import SessionSettings, load

GOOD = "rediss://u:p@redis.internal:6380/0"


@pytest.mark.parametrize(
    "url",
    [
        *("unix:///run/redis.sock", "unix:///run/redis.sock?db=1"),
        *("redis://127.0.0.1:6379/0", "redis://localhost/0", "redis://[::1]:6379/0", "redis://127.8.9.1"),
        *(GOOD, "rediss://:p@10.0.0.1", "rediss://r.internal?password=p"),
        "rediss://r.internal?ssl_certfile=/c.pem&ssl_keyfile=/k.pem",
    ],
)
def test_loopback_is_free_and_what_is_secured_may_be_anywhere(url: str) -> None:
    assert exposure(url) == ""


@pytest.mark.parametrize(
    ("url", "missing"),
    [
        ("redis://redis.internal:6379/0", ["redis.internal:6379 is", "without TLS", "without a password"]),
        ("redis://10.0.0.1/0", ["10.0.0.1:6379 is", "without TLS", "without a password"]),
        ("redis://0.0.0.0:6379/0", ["0.0.0.0:6379 is", "without TLS", "without a password"]),
        ("redis://[2001:db8::1]:7000/0", ["[2001:db8::1]:7000 is", "without TLS", "without a password"]),
        ("redis://u:p@redis.internal", ["without TLS"]),
        ("redis://:p@localhost.example.com", ["without TLS"]),
        ("rediss://redis.internal", ["without a password"]),
        ("rediss://:@redis.internal", ["without a password"]),
        (GOOD + "?ssl_cert_reqs=none", ["without verifying its certificate"]),
        (GOOD + "?ssl_cert_reqs=optional", ["without verifying its certificate"]),
        (GOOD + "?ssl_check_hostname=False", ["without verifying its certificate"]),
    ],
)
def test_redis_that_others_reach_is_named_with_what_is_missing(url: str, missing: list[str]) -> None:
    said = exposure(url)

    assert all(part in said for part in missing), said
    assert said.count("without") == sum("without" in part for part in missing)
    assert "MIDSTREAM_INSECURE=yes" in said


def test_settings_refuse_it_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIDSTREAM_REDIS_URL", "redis://:geheim@redis.internal:6379/0")

    with pytest.raises(SystemExit) as refused:
        load(SessionSettings)

    said = capsys.readouterr().err
    assert refused.value.code == 2
    assert said.startswith("MIDSTREAM_REDIS_URL: redis.internal:6379 is beyond this machine, without TLS")
    assert "geheim" not in said

    monkeypatch.setenv("MIDSTREAM_INSECURE", "yes")
    assert load(SessionSettings).redis_url == "redis://:geheim@redis.internal:6379/0"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    made = {f"MIDSTREAM_REDIS_{name}": tmp_path / f"{name.lower()} &1.pem" for name in ("CA", "CERT", "KEY")}
    for path in made.values():
        path.touch()
    return made


def test_files_come_into_the_url_once(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from redis.connection import parse_url

    for name, path in files.items():
        monkeypatch.setenv(name, str(path))
    monkeypatch.setenv("MIDSTREAM_REDIS_URL", GOOD + "?db=3")

    url = load(SessionSettings).redis_url

    options = parse_url(url)  # type: ignore[no-untyped-call]
    assert (options["ssl_ca_certs"], options["ssl_certfile"], options["ssl_keyfile"]) == tuple(map(str, files.values()))
    assert (options["password"], options["db"]) == ("p", 3)
    # A child process is given the URL and has the settings, too.
    assert secured(url, files) == url
    assert secured(GOOD + "?ssl_ca_certs=/own.pem", files).startswith(GOOD + "?ssl_ca_certs=%2Fown.pem&ssl_certfile=")


def test_without_files_the_url_stays_as_it_is() -> None:
    assert secured("unix:///a?b=1", {"MIDSTREAM_REDIS_CA": None}) == "unix:///a?b=1"


@pytest.mark.parametrize(
    ("url", "left_out", "said"),
    [
        ("redis://127.0.0.1/0", "", "files of TLS are for rediss://, and MIDSTREAM_REDIS_URL is redis://"),
        (GOOD, "MIDSTREAM_REDIS_KEY", "a certificate and its key go together"),
        (GOOD, "MIDSTREAM_REDIS_CERT", "a certificate and its key go together"),
    ],
)
def test_files_that_do_not_fit_are_refused(files: dict[str, Path], url: str, left_out: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        secured(url, {name: path for name, path in files.items() if name != left_out})


def test_file_that_is_not_there_is_named(files: dict[str, Path]) -> None:
    files["MIDSTREAM_REDIS_CA"].unlink()

    with pytest.raises(ValueError, match=r"MIDSTREAM_REDIS_CA: there is no file .*ca &1\.pem"):
        secured(GOOD, files)
