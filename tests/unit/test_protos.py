"""What lies beside the protos is made from them, and strangers can build on it."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from tests.support.imports import ROOT

FILES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "protos").glob("*/v1/*.proto"))
DESCRIPTORS = descriptor_pb2.FileDescriptorSet.FromString((ROOT / "protos" / "midstream.binpb").read_bytes())


def test_descriptor_set_holds_every_file() -> None:
    assert sorted(file.name for file in DESCRIPTORS.file) == FILES


@pytest.mark.parametrize("file", DESCRIPTORS.file, ids=[file.name for file in DESCRIPTORS.file])
def test_descriptor_set_says_what_the_generated_code_says(file: descriptor_pb2.FileDescriptorProto) -> None:
    module = importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
    generated = descriptor_pb2.FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(generated)

    described = descriptor_pb2.FileDescriptorProto.FromString(file.SerializeToString())
    described.ClearField("source_code_info")
    _forget_json_names(described)
    _forget_json_names(generated)

    assert described == generated


@pytest.mark.parametrize("file", DESCRIPTORS.file, ids=[file.name for file in DESCRIPTORS.file])
def test_everything_has_a_comment(file: descriptor_pb2.FileDescriptorProto) -> None:
    commented = {tuple(where.path) for where in file.source_code_info.location if where.leading_comments.strip()}

    assert [name for path, name in _declared(file) if path not in commented] == []


def test_no_name_is_used_twice_because_all_of_them_share_one_package_in_go() -> None:
    names = Counter(
        declared.name for file in DESCRIPTORS.file for declared in (*file.message_type, *file.enum_type, *file.service)
    )

    assert [name for name, uses in names.items() if uses > 1] == []
    assert len({file.options.go_package for file in DESCRIPTORS.file}) == 1


def test_files_follow_the_rules_of_buf(tmp_path: Path) -> None:
    buf = shutil.which("buf") or shutil.which("buf", path=str(Path.home() / "go" / "bin"))
    if buf is None:
        pytest.skip("buf is not installed: go install github.com/bufbuild/buf/cmd/buf@v1.59.0")

    done = subprocess.run(
        [buf, "lint"],
        cwd=ROOT,
        env={"HOME": str(tmp_path), "BUF_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def _forget_json_names(file: descriptor_pb2.FileDescriptorProto) -> None:
    """The compiler fills them in; what Python keeps leaves them out."""
    messages = list(file.message_type)
    while messages:
        message = messages.pop()
        messages.extend(message.nested_type)
        for field in message.field:
            field.ClearField("json_name")


def _declared(file: descriptor_pb2.FileDescriptorProto) -> list[tuple[tuple[int, ...], str]]:
    """Every service, method, message, field, enum and value: its path in the file, and its name."""
    found: list[tuple[tuple[int, ...], str]] = []

    def enum(path: tuple[int, ...], described: descriptor_pb2.EnumDescriptorProto, prefix: str) -> None:
        found.append((path, prefix + described.name))
        found.extend(((*path, 2, index), value.name) for index, value in enumerate(described.value))

    def message(path: tuple[int, ...], described: descriptor_pb2.DescriptorProto, prefix: str) -> None:
        if described.options.map_entry:
            return
        found.append((path, prefix + described.name))
        inner = f"{prefix}{described.name}."
        found.extend(((*path, 2, index), inner + field.name) for index, field in enumerate(described.field))
        for index, nested in enumerate(described.nested_type):
            message((*path, 3, index), nested, inner)
        for index, nested_enum in enumerate(described.enum_type):
            enum((*path, 4, index), nested_enum, inner)

    for index, top in enumerate(file.message_type):
        message((4, index), top, "")
    for index, top_enum in enumerate(file.enum_type):
        enum((5, index), top_enum, "")
    for index, service in enumerate(file.service):
        found.append(((6, index), service.name))
        found.extend(((6, index, 2, number), f"{service.name}.{rpc.name}") for number, rpc in enumerate(service.method))
    return found
