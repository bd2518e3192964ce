"""Latency models as text: what is read, for which source, and what is said about what cannot be used."""

from __future__ import annotations

import contextlib
import random
import re
from decimal import Decimal
from pathlib import Path
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.replay.sources import HistoricalOptions, UnusableInput, fingerprint_difference
from services.replay.sources.inputs import fingerprint
from services.replay.sources.latency_kernels import (
    empirical_quantiles,
    lognormal_quantiles,
    lower_shares,
    source_latencies,
)
from services.replay.sources.latency_models import (
    AsRecorded,
    Constant,
    Empirical,
    LatencyForm,
    Lognormal,
    Scaled,
    assign,
    parse_entry,
    split_entries,
)
from tests.reference.latency import SHARES

pytestmark = pytest.mark.quick
MS = 10**6


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("file", AsRecorded()),
        ("constant:5ms", Constant(5 * MS)),
        ("constant:0ns", Constant(0)),
        ("constant:-1.5us", Constant(-1500)),
        ("offset:5ms", Scaled(1.0, 5 * MS)),
        ("offset:-.25s", Scaled(1.0, -250 * MS)),
        ("scale:1.5", Scaled(1.5, 0)),
        ("scale:2,offset=-3ms", Scaled(2.0, -3 * MS)),
        ("lognormal:p50=5ms,p99=40ms", Lognormal(5 * MS, None, 40 * MS, 0)),
        ("lognormal:sigma=0.8,median=5ms,seed=7", Lognormal(5 * MS, Decimal("0.8"), None, 7)),
        ("empirical:a,b=c.csv", Empirical("a,b=c.csv", 0)),
        ("empirical:a,b.csv,seed=18446744073709551615", Empirical("a,b.csv", 2**64 - 1)),
    ],
)
def test_model_is_read_as_it_is_written(text: str, form: LatencyForm) -> None:
    assert parse_entry(text).form == form
    assert parse_entry(text).pattern == ""
    named = parse_entry(f"data/x=1.csv={text}")
    assert (named.pattern, named.form, named.text) == ("data/x=1.csv", form, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no latency model; write `file`, `constant:5ms`"),
        ("5ms", "is no latency model"),
        ("constant", "needs a value; write constant:5ms"),
        ("constant:5", "write a number and ns, us, ms or s, like 5ms"),
        ("constant:1e3ms", "is no duration"),
        ("constant:0.5ns", "no whole number of nanoseconds"),
        ("constant:9999999999s", "longer than 285 years"),
        ("file:5ms", "takes nothing behind it"),
        ("scale:-1", "the factor '-1' is not a number from 0"),
        ("scale:nan", "the factor 'nan'"),
        ("scale:1_5", "the factor '1_5'"),
        ("scale:1e10", "the factor '1e10'"),
        ("scale:\u0661", "the factor '\u0661'"),
        ("scale:2,plus=3ms", "`plus=3ms` is none of offset="),
        ("lognormal:p50=5ms", "it takes p50 and p99, or median and sigma"),
        ("lognormal:p50=5ms,p99=4ms", "p99 is below p50"),
        ("lognormal:median=0ms,sigma=1", "above zero"),
        ("lognormal:median=5ms,sigma=1_0", "sigma '1_0' is not a number"),
        ("lognormal:median=5ms,sigma=1e9999", "sigma '1e9999' is not a number"),
        ("lognormal:median=5ms,sigma=17", "sigma '17' is not a number from 0 to 16"),
        ("lognormal:p50=5ms,p99=6ms,seed=-1", "the seed '-1' is not a whole number below 2^64"),
        ("lognormal:p50=5ms,p50=6ms", "`p50` is given twice"),
        ("empirical:", "needs a value"),
        ("a.csv=constant:5", "`a.csv=constant:5` cannot be used"),
    ],
)
def test_what_cannot_be_used_is_said_with_the_setting_and_the_fix(text: str, said: str) -> None:
    with pytest.raises(UnusableInput) as refused:
        HistoricalOptions(latency=(text,))

    assert said in str(refused.value)
    assert str(refused.value).startswith("MIDSTREAM_LATENCY: `")


NAMES = st.sampled_from(["file", "constant", "offset", "scale", "lognormal", "empirical", "a.csv=file", "x="])
PIECES = st.sampled_from(
    [
        ":",
        ",",
        "=",
        "5ms",
        "-1.5us",
        "p50=5ms",
        "p99=9s",
        "seed=7",
        "median=1ns",
        "sigma=.5",
        "offset=",
        "a=b",
        "1e3",
        "\n",
    ]
)


@given(NAMES, st.lists(PIECES | st.text(max_size=4), max_size=6).map("".join))
def test_any_text_is_a_model_or_is_refused(name: str, rest: str) -> None:
    with contextlib.suppress(UnusableInput):
        entry = parse_entry(name + rest)
        # What is kept of an entry reads the same again.
        assert parse_entry(entry.text).form == entry.form


def test_setting_holds_entries_between_semicolons_or_a_json_list() -> None:
    assert split_entries(" offset:5ms ; b.csv=file;") == ("offset:5ms", "b.csv=file")
    assert split_entries('["empirical:a;b.csv", "file"]') == ("empirical:a;b.csv", "file")
    assert split_entries("") == ()
    with pytest.raises(UnusableInput, match="no JSON list"):
        split_entries("[offset:5ms]")


def test_last_entry_that_fits_a_source_counts() -> None:
    entries = [parse_entry(text) for text in ("offset:1ms", "*binance*=offset:2ms", "b.csv=constant:3ms")]

    assigned = assign(entries, ["data/a.csv", "data/binance.csv", "data/b.csv"])

    assert [entry.form for entry in assigned] == [Scaled(1.0, MS), Scaled(1.0, 2 * MS), Constant(3 * MS)]
    assert assign(entries[1:2], ["a.csv", "binance"])[0].form == AsRecorded()


def test_entry_for_a_source_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnusableInput, match=r"no source is named `c\.csv`.*the sources are a\.csv, b\.csv"):
        assign([parse_entry("c.csv=offset:2ms")], ["a.csv", "b.csv"])


def test_lognormal_quantiles_are_those_of_the_distribution() -> None:
    quantiles = lognormal_quantiles(Lognormal(5 * MS, Decimal("0.8"), None, 0))

    normal = NormalDist()
    assert len(quantiles) == len(SHARES)
    assert list(quantiles) == sorted(quantiles)
    for share, found in list(zip(SHARES, quantiles, strict=True))[1:1026]:
        expected = 5 * MS * 2.718281828459045 ** (0.8 * normal.inv_cdf(float(share)))
        assert abs(found - expected) < 0.5 + 1e-9 * expected
    # Both halves mirror each other around the median.
    assert all(abs(low * high / (5 * MS) ** 2 - 1) < 1e-3 for low, high in zip(quantiles, quantiles[::-1], strict=True))


def test_lognormal_model_meets_its_percentiles() -> None:
    quantiles = lognormal_quantiles(Lognormal(5 * MS, None, 40 * MS, 0))

    above = next(index for index, share in enumerate(SHARES) if share >= 0.99)
    assert quantiles[1025] == 5 * MS
    assert quantiles[above - 1] <= 40 * MS <= quantiles[above]


def test_shares_of_the_quantiles_are_those_of_the_reference() -> None:
    assert [share.as_integer_ratio() for share in lower_shares()] == [
        share.as_integer_ratio() for share in SHARES[:1025]
    ]


def test_lognormal_model_without_spread_is_constant() -> None:
    assert set(lognormal_quantiles(Lognormal(5 * MS, Decimal(0), None, 0))) == {5 * MS}


def test_lognormal_model_whose_draws_are_no_latencies_is_refused() -> None:
    with pytest.raises(UnusableInput, match="smaller sigma or p99"):
        lognormal_quantiles(Lognormal(5 * MS, Decimal(16), None, 0))


def test_quantiles_of_another_file_are_its_latencies(tmp_path: Path) -> None:
    chooser = random.Random(1)
    latencies_us = sorted(round(chooser.lognormvariate(8, 1)) for _ in range(5_000))
    path = write_latencies(tmp_path / "other.csv", [latency / 1000 for latency in chooser.sample(latencies_us, 5_000)])

    quantiles = empirical_quantiles(Empirical(path, 0))

    assert list(quantiles) == sorted(quantiles)
    assert (quantiles[0], quantiles[-1]) == (latencies_us[0] * 1000, latencies_us[-1] * 1000)
    for share, found in zip(SHARES, quantiles, strict=True):
        rank = min(4_999, int(share * 5_000))
        assert abs(found - latencies_us[rank] * 1000) <= 0.001 * latencies_us[rank] * 1000


@pytest.mark.parametrize(
    ("text", "said"),
    [("x,y\n1,2\n", "x.csv"), ("", "is empty"), (None, "does not exist")],
    ids=["header", "empty", "no file"],
)
def test_file_to_draw_from_that_has_no_latencies_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "x.csv"
    if text is not None:
        path.write_text(text)

    with pytest.raises(UnusableInput, match=said):
        source_latencies(HistoricalOptions(latency=(f"empirical:{path}",)), ["a.csv"])


def test_file_to_draw_from_without_rows_is_refused(tmp_path: Path) -> None:
    path = write_latencies(tmp_path / "x.csv", [])

    with pytest.raises(UnusableInput, match="there are no latencies to draw from; name another file"):
        empirical_quantiles(Empirical(path, 0))


def test_fingerprint_covers_models_and_what_they_are_drawn_from(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"

    def print_of(*entries: str) -> str:
        options = HistoricalOptions(latency=entries)
        return fingerprint([], options, [one.digest for one in source_latencies(options, ["a.csv", "b.csv"])])

    write_latencies(other, [1, 2, 3])
    drawn = print_of(f"empirical:{other}")
    write_latencies(other, [1, 2, 4])
    changed = print_of(f"empirical:{other}")
    prints = {
        print_of(),
        print_of("offset:5ms"),
        print_of("constant:5ms"),
        print_of("a.csv=offset:5ms"),
        print_of("b.csv=offset:5ms"),
        print_of("lognormal:p50=1ms,p99=2ms"),
        print_of("lognormal:p50=1ms,p99=2ms,seed=1"),
        drawn,
        changed,
    }

    assert len(prints) == 9
    assert print_of("file") == print_of()
    assert print_of("offset:5ms") == print_of("scale:1,offset=5000us")
    assert fingerprint_difference(drawn, changed) == "the latency model changed"
    assert fingerprint_difference(print_of(), changed) == "the latency model changed"


def test_fingerprint_without_models_is_as_it_was_before_there_were_any() -> None:
    assert HistoricalOptions().canonical() == (
        '{"end_time_ns": null, "fraction_unit_us": false, "min_latency_ms": null, "negative_latency": "keep", '
        '"start_time_ns": null, "tickers": [], "unsorted": "refuse"}'
    )
    assert "latency:" not in fingerprint([], HistoricalOptions())


def write_latencies(path: Path, latencies_ms: list[float]) -> str:
    lines = ["index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency"]
    lines += [f"1,2025-01-01 00:00:00,A,1,2,1,1,{latency!r}" for latency in latencies_ms]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_page_names_models_that_are_read() -> None:
    page = (Path(__file__).parents[4] / "docs" / "latency_models.md").read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if line.startswith("| `")]

    models = [text for line in table for text in re.findall("`([^`]+)`", line)]

    assert {type(parse_entry(text).form) for text in models} == {AsRecorded, Constant, Scaled, Lognormal, Empirical}
