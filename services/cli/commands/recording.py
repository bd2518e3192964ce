"""`midstream record`: a live feed to files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli.commands.arguments import Json


def record(
    url: Annotated[
        str, typer.Argument(help="A feed: ws://HOST:PORT, wss://HOST/PATH or EXCHANGE://BTC/USDT,ETH/USDT.")
    ],
    out: Annotated[Path, typer.Option(help="A folder for segments, or one file that ends in .rec.")],
    duration: Annotated[float, typer.Option(help="Stop after so many seconds.", min=0.0, show_default=False)] = 0.0,
    max_bytes: Annotated[int, typer.Option(help="Stop before more bytes than this.", min=0, show_default=False)] = 0,
    append: Annotated[bool, typer.Option("--append", help="Go on in a folder that holds a recording.")] = False,
    segment_bytes: Annotated[int, typer.Option(help="Begin another file after so many bytes.", min=1)] = 256 << 20,
    segment_seconds: Annotated[float, typer.Option(help="Begin another file after so long.", min=0.001)] = 3600.0,
    sync_seconds: Annotated[
        float, typer.Option(help="What a power failure may cost; 0 syncs each write.", min=0.0)
    ] = 1.0,
    message_bytes: Annotated[int, typer.Option(help="Larger messages end the connection.", min=1)] = 1 << 20,
    json: Json = False,
) -> None:
    """Record a live feed as it comes, with the time of each receipt; `midstream replay OUT/*.rec` plays it."""
    from services.cli.record_command import RecordRun, run_record
    from services.replay.recording.recorder import Bounds
    from services.replay.recording.segments import SegmentLimits

    run = RecordRun(
        url=url,
        out=out,
        bounds=Bounds(duration, max_bytes),
        append=append,
        limits=SegmentLimits(segment_bytes, segment_seconds),
        sync_s=sync_seconds,
        message_bytes_max=message_bytes,
        as_json=json,
    )
    raise typer.Exit(run_record(run))
