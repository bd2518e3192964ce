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
        # A script's refusal.
        (ResponseError("MISCONF Errors writing to the AOF file. script: 6b1b, on @user_script:9."), "MISCONF"),
        # One of several commands, as the client quotes it.
        (
            ResponseError(
                "Command # 1 (XADD s 0-1 b READONLY) of pipeline caused error: ('NOREPLICAS Not enough good replicas to write.',)"
            ),
            "NOREPLICAS",
        ),
        (OutOfMemoryError('Command # 2 (HSET h f v) of pipeline caused error: ("command not allowed",)'), "OOM"),
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
        ResponseError("ERR -OOM is what a script of somebody's said"),
        ResponseError(
            "Command # 1 (SET k OOM) of pipeline caused error: ('WRONGTYPE Operation against a key: MISCONF',)"
        ),
        NoPermissionError("this user has no permissions to run the 'xadd' command"),
        ExecAbortError("Transaction discarded because of previous errors."),
    ],
)
def test_other_refusals_are_not_waited_for(error: ResponseError) -> None:
    assert temporary_code(error) is None
