"""What reads files, messages of others, what processes tell each other, requests and settings."""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final
from unittest import mock

from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from clients.exchanges.binance.instruments import parse_instruments
from clients.exchanges.binance.markets import MARKETS
from clients.exchanges.binance.parsing import parse_quote
from clients.exchanges.binance.stream_events import kind, parse_book_ticker, parse_event
from clients.exchanges.exact_json import MalformedAnswer, parse_json
from clients.power.calendar import delivery_hour
from clients.power.deals.messages import message_key, parse_message
from clients.power.deals.model import Unusable
from clients.power.reference.errors import UnusableAnswer
from clients.power.reference.observation import read_answer
from services.cli.settings_catalogue import MODELS
from services.orders.domain.events import KINDS
from services.orders.journal.codec import UnreadableRecord, decode
from services.replay.engine.exchange_address import exchange_address
from services.replay.sources.errors import SourceFailed, UnusableInput
from services.replay.sources.inspect import inspect
from services.runtime.connection import redacted
from services.runtime.errors import MidstreamError
from services.runtime.printable import printable
from services.runtime.session.announcement import SinkAnnouncement
from services.runtime.session.intents import Intended, Intent
from services.runtime.session.latest_mid import LatestMid
from services.runtime.session.report import EngineReport
from services.runtime.session.versions import NewerVersion
from services.runtime.setting_problems import environment_names
from services.runtime.settings import load
from tests.support.contracts import made
from tests.support.fake_exchange import instrument
from tests.support.fuzz.kernel_targets import ASSIGNMENT, TARDIS
from tests.support.fuzz.target import READ, REFUSED, Outcome, Target
from tests.support.power_messages import confirmation

_HOUR: Final = delivery_hour("2023-05-12", "08-09")
_JSON_TOKENS: Final = (
    b"null", b"true", b"[]", b"{}", b"\\u0000", b"\\ud800", b'"', b"NaN", b"-Infinity", b",", b"]", b"}", b"[", b'"id":1,', b"\xff",
)  # fmt: skip
_SERVICES: Final = ("control", "health", "orders", "price", "replay", "reporting")
_SETTINGS: Final = (
    b"127.0.0.1", b"::1", b"8080", b"0", b"1.5", b"on", b"redis://user:word@127.0.0.1:6379/0", b"rediss://host/1?x=y", b"unix:///run/r.sock",
    b"sqlite:///var/orders.db", b"postgresql://user:word@host/db", b"binance://BTC/USDT", b"bitmex://ANY", b"ws://host:1/path?x",
    b"a,b,c", b"keys, certificates", b"dns:ops.internal=admin, uri:spiffe://desk/feed=read+control", b"2025-10-02 23:00:00", b"max",
    b"/tmp/in/*.csv.gz", b"10s", b"0.25,0.5", b"EUR=1", "k\u00f6ln".encode(),
)  # fmt: skip
_BASE: Final = {"MIDSTREAM_REDIS_URL": "redis://127.0.0.1:6379/0", "MIDSTREAM_OUT": "out"}
_FIELDS: Final = [
    (model, name)
    for model in MODELS.values()
    for field, info in model.model_fields.items()
    for name in environment_names(field, info)
]


def text_file(content: bytes, rng: Random) -> Outcome:
    """A file, plain or compressed, as `midstream inspect` reads it: twice, and in order."""
    with tempfile.TemporaryDirectory(dir=_SCRATCH) as folder:
        path = Path(folder) / "in.csv"
        path.write_bytes(content)
        try:
            report = inspect([str(path)], temp_dir=Path(folder))
        except (UnusableInput, SourceFailed):
            return REFUSED
    total = report.total
    assert total.ticks + total.rejected == total.rows, total
    return Outcome(total.ticks, max(total.rejected, 1 - total.ticks))


def deal(payload: bytes, rng: Random) -> Outcome:
    """A message of the power exchange."""
    spelled: bytes | str = payload if rng.random() < 0.5 else payload.decode("utf-8", "replace")
    message_key(spelled)
    found = parse_message(spelled, 1_700_000_000_000_000_000, binary=rng.random() < 0.01, backfilled=rng.random() < 0.5)
    return REFUSED if isinstance(found, Unusable) else READ


def reference_price(payload: bytes, rng: Random) -> Outcome:
    """An answer of the price provider."""
    return _read_or(UnusableAnswer, lambda: read_answer(payload, _HOUR, observed_ns=1))


def exchange_answer(payload: bytes, rng: Random) -> Outcome:
    """What an exchange answers or streams."""

    def streamed() -> None:
        event = parse_event(payload)
        if event is not None:
            kind(event)
            parse_book_ticker(event, rng.choice(_INSTRUMENTS), receive_time_ns=1)

    return _all_of(
        MalformedAnswer,
        streamed,
        lambda: parse_instruments(MARKETS["coinm"], parse_json(payload)),
        lambda: parse_quote(_INSTRUMENTS[0], parse_json(payload), 1),
    )


def session_entry(payload: bytes, rng: Random) -> Outcome:
    """What processes tell each other through Redis."""
    return _all_of(
        (ValueError, NewerVersion),
        lambda: EngineReport.decode("default", payload),
        lambda: SinkAnnouncement.decode("sink", payload),
        lambda: Intent.decode(payload),
        lambda: LatestMid.decode("A", payload),
        lambda: Intended.decode(
            {b"version": payload[:4], b"revision": payload[4:12], b"mode": payload, b"mode_revision": b"1"}
        ),
    )


def journal_record(payload: bytes, rng: Random) -> Outcome:
    """A line of the order journal."""
    model = rng.choice(list(KINDS.values()))
    return _read_or(UnreadableRecord, lambda: decode(model, payload.decode("utf-8", "replace")))


def rpc_request(payload: bytes, rng: Random) -> Outcome:
    """A request of any rpc."""
    return _read_or(DecodeError, lambda: _printed(rng.choice(REQUESTS).FromString(payload)))


def setting(payload: bytes, rng: Random) -> Outcome:
    """A variable of the environment, as every server reads it."""
    value = payload.replace(b"\0", b"")[:4096].decode("utf-8", "replace")
    redacted(value), printable(value)
    model, name = rng.choice(_FIELDS)
    with (
        mock.patch.dict(os.environ, {**_BASE, name: value}, clear=True),
        contextlib.redirect_stderr(io.StringIO()) as said,
    ):
        try:
            load(model)
        except SystemExit as exc:
            return _checked(
                exc.code == 2 and said.getvalue().endswith("\n"), f"exit code {exc.code}: {said.getvalue()!r}"
            )
    return _read_or(MidstreamError, lambda: exchange_address(value))


def _read_or(refusals: type[Exception] | tuple[type[Exception], ...], read: Callable[[], object]) -> Outcome:
    try:
        read()
    except refusals as refusal:
        # What is logged is one bounded line, whatever the input was.
        return _checked(len(printable(str(refusal))) < 4096, f"a long sentence: {str(refusal)[:300]}")
    return READ


def _checked(meant: bool, otherwise: str) -> Outcome:
    assert meant, otherwise
    return REFUSED


def _all_of(refusals: type[Exception] | tuple[type[Exception], ...], *readers: Callable[[], object]) -> Outcome:
    outcomes = [_read_or(refusals, read) for read in readers]
    return Outcome(sum(each.records for each in outcomes), sum(each.refused for each in outcomes))


def _printed(message: Message) -> str:
    message.SerializeToString()
    return str(message)


def _requests() -> list[type[Message]]:
    found: dict[str, type[Message]] = {}
    for service in _SERVICES:
        module = importlib.import_module(f"protos.{service}.v1.{service}_pb2")
        for descriptor in module.DESCRIPTOR.services_by_name.values():
            for method in descriptor.methods:
                found[method.input_type.full_name] = GetMessageClass(method.input_type)
    return list(found.values())


def filled(descriptor: Any, rng: Random, depth: int = 0) -> Message:
    """Return a message with a value in every field."""
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if field.message_type is not None:
            if depth < 3 and not field.message_type.GetOptions().map_entry:
                inner = filled(field.message_type, rng, depth + 1)
                place = getattr(message, field.name)
                place.append(inner) if field.is_repeated else place.CopyFrom(inner)
            continue
        value = _value(field, rng)
        getattr(message, field.name).extend([value, value]) if field.is_repeated else setattr(
            message, field.name, value
        )
    return message


def _value(field: Any, rng: Random) -> Any:
    match field.cpp_type:
        case field.CPPTYPE_STRING:
            return (
                b"\x01"
                if field.type == field.TYPE_BYTES
                else rng.choice(("binance", "BTC/USDT", "0.5", "key-1", "default"))
            )
        case field.CPPTYPE_BOOL:
            return True
        case field.CPPTYPE_DOUBLE | field.CPPTYPE_FLOAT:
            return 1.5
        case field.CPPTYPE_ENUM:
            return rng.choice([each.number for each in field.enum_type.values])
    return rng.randrange(1, 1000)


REQUESTS: Final = _requests()
_INSTRUMENTS: Final = [instrument("binance", "A/B", market=market, exchange_symbol="AB") for market in MARKETS]
# In memory where that is to be had: ten thousand small files are no matter for a disk.
_SCRATCH: Final = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _texts(*names: str) -> list[bytes]:
    return [made(name).text.encode() for name in names]


def input_targets() -> list[Target]:
    """Return every target of this module."""
    files = [
        ASSIGNMENT,
        gzip.compress(ASSIGNMENT * 3, mtime=0),
        gzip.compress(TARDIS, mtime=0) + gzip.compress(b"x\n", mtime=0),
    ]
    deals = [
        confirmation(kind, revision=2).encode()
        for kind in ("deal_confirmation", "deal_correction", "deal_cancellation")
    ]
    price = b'{"delivery_day":"2023-05-12","delivery_hour":"08-09","value":"12.5","unit":"EUR/MWh","last_update":"2023-05-12T06:00:00Z"}'
    answers = _texts("binance/coinm/instruments", "binance/spot/book_ticker", "binance/coinm/ticker_frame")
    entries = [
        b'{"version":1,"state":"RUNNING","mode":1,"revision":3,"epoch":"e","last_sequence":7,"sources":["a"],"speed":"max"}',
        b'{"version":1,"epoch":"e","sequence":7,"run_id":"r","cursor":"AAA=","rows":{"mids":1}}',
        b'{"version":1,"kind":"set_mode","mode":2,"request_id":"r","time_ns":5}',
        b'{"version":1,"kind":"set_speed","speed":"2.5"}',
        LatestMid(1, 2, 3, 4.5, 1).encode(),
    ]
    bodies = [
        b'{"state":"NEW","raw_state":"NEW"}',
        b'{"trade_id":"t","quantity":"1","price":"2.5","fee":"-0"}',
        b'{"text":"no","code":"1"}',
    ]
    rng = Random(1)
    requests = [filled(each.DESCRIPTOR, rng).SerializeToString() for each in REQUESTS]
    return [
        Target("file", files, text_file, (b"\x1f\x8b\x08", b"\0" * 64), share=3),
        Target("deal", deals, deal, _JSON_TOKENS, share=3),
        Target("reference-price", [price], reference_price, _JSON_TOKENS, share=2),
        Target("exchange-answer", answers, exchange_answer, _JSON_TOKENS, share=2),
        Target("session-entry", entries, session_entry, _JSON_TOKENS, share=2),
        Target("journal-record", bodies, journal_record, _JSON_TOKENS, share=2),
        Target("rpc-request", requests, rpc_request, share=3),
        Target("setting", _SETTINGS, setting, share=2),
    ]
