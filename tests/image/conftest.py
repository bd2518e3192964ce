"""The image that `.ci/image` built and unpacked; these tests run from there alone (`make test-image`)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.image_box import Image


@pytest.fixture(scope="session")
def image() -> Image:
    """The image of this run."""
    try:
        return Image.read(Path(os.environ["MIDSTREAM_IMAGE_ROOTFS"]), Path(os.environ["MIDSTREAM_IMAGE_CONFIG"]))
    except KeyError:
        pytest.fail("there is no image: .ci/image builds one and runs these tests on it (make test-image)")
