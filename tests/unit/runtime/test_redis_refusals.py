"""Refusals of Redis that waiting may end are told from others, however the server words them."""

from __future__ import annotations

import pytest
from redis.exceptions import (
    ExecAbortError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from services.runtime.redis_refusals import meaning, temporary_code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "OOM"),
        (ReadOnlyError("You can't write against a read only replica."), "READONLY"),
        (ResponseError("MISCONF Errors writing to the AOF file: No space left on device"), "MISCONF"),
        (ResponseError("NOREPLICAS Not enough good replicas to write."), "NOREPLICAS"),
        (ResponseError("BUSY Redis is busy running a script."), "BUSY"),
        (ExecAbortError("Transaction discarded because of: OOM command not allowed"), "OOM"),
        (ExecAbortError("Transaction discarded because of: READONLY You can't write"), "READONLY"),
        # A script's refusal as Redis before 7 quotes it.
        (
            ResponseError(
                "Error running script (call to f_6b1b): @user_script:9: @user_script: 9: -OOM command not allowed"
            ),
            "OOM",
        ),
        (ResponseError("Error running script (call to f_6b1b): @user_script:9: -READONLY You can't write"), "READONLY"),
        (ResponseError("Error running script (call to f_6b1b): @user_script:9: -MISCONF Errors writing"), "MISCONF"),
    ],
)
def test_refusals_that_end_by_themselves_are_recognised(error: ResponseError, code: str) -> None:
    assert temporary_code(error) == code
    assert meaning(code)


@pytest.mark.parametrize(
    "error",
    [
        ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
        ResponseError("BUSYGROUP Consumer Group name already exists"),
        ResponseError("unknown command 'OOM'"),
        ResponseError("no such key `MISCONF`"),
        NoPermissionError("this user has no permissions to run the 'xadd' command"),
        ExecAbortError("Transaction discarded because of previous errors."),
    ],
)
def test_other_refusals_are_not_waited_for(error: ResponseError) -> None:
    assert temporary_code(error) is None
