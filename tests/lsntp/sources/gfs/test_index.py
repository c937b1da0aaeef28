"""Inventories: real ones, and every way in which one may not fit its object."""

from pathlib import Path

import numpy as np
import pytest

from lsntp.sources.gfs.index import ByteRange, IndexFaultError, t2m_range
from lsntp.times import parse_time
from tests.standins import gfs

RUN = parse_time("2023-11-04T00")
SIZE = 600_000_000
LINES = (
    b"1:0:d=2023110400:PRMSL:mean sea level:anl:\n"
    b"2:100:d=2023110400:TMP:2 mb:anl:\n"
    b"3:200:d=2023110400:TMP:2 m above ground:anl:\n"
    b"4:300:d=2023110400:APTMP:2 m above ground:anl:\n"
)


def found(
    index: bytes = LINES, step_h: int = 0, size: int = 400, run: str = "2023-11-04"
) -> ByteRange:
    return t2m_range(index, init_time=parse_time(run), step_h=step_h, size=size)


@pytest.mark.parametrize(
    ("name", "run", "step_h", "start", "stop"),
    [  # the bytes that the README of the real data gives
        ("idx_20231104_gfs.t00z.pgrb2.0p25.f000.idx", "2023-11-04", 0, 418789296, 419663948),
        ("idx_20231104_gfs.t00z.pgrb2.0p25.f021.idx", "2023-11-04", 21, 422567101, 423452300),
        ("idx_20250801_gfs.t00z.pgrb2.0p25.f007.idx", "2025-08-01", 7, 418201888, 418725309),
    ],
)
def test_real_inventories_give_the_known_bytes(
    name: str, run: str, step_h: int, start: int, stop: int, shared_data: Path
) -> None:
    index = (shared_data / "gfs" / name).read_bytes()
    assert found(index, step_h, SIZE, run) == ByteRange(start, stop)
    assert ByteRange(start, stop).size + len(index) < 1e6  # all that an analysis has to move


def test_the_inventory_of_a_real_object_gives_its_message(shared_data: Path) -> None:
    content = (shared_data / "gfs" / "gfs.t12z.pgrbf120.2p5deg.grib2").read_bytes()
    found = t2m_range(
        gfs.inventory(content), init_time=parse_time("2011-01-10T12"), step_h=120, size=len(content)
    )
    assert found == ByteRange(2457396, 2457396 + 13101)  # as the README of the real data says


def test_neither_pressure_levels_nor_apparent_temperature_are_taken() -> None:
    assert found() == ByteRange(200, 300)


def test_the_last_message_ends_with_the_object() -> None:
    assert found(LINES[: LINES.index(b"4:300")]) == ByteRange(200, 400)


def test_step_zero_may_be_spelled_as_a_forecast() -> None:
    assert found(LINES.replace(b":anl:", b":0 hour fcst:")) == ByteRange(200, 300)


def test_fields_of_one_message_share_its_bytes() -> None:
    shared = LINES.replace(b"3:200:", b"3.1:200:").replace(b"4:300:", b"3.2:200:")
    assert found(shared + b"4:350:d=2023110400:RH:2 m above ground:anl:\n") == ByteRange(200, 350)


def test_an_ensemble_spread_beside_the_field_is_another_field() -> None:
    spread = b"5:350:d=2023110400:TMP:2 m above ground:anl:ens spread\n"
    assert found(LINES + spread) == ByteRange(200, 300)


FAULTS = {
    "empty": (b"", "empty"),
    "blank": (b"\n\n", "empty"),
    "another run": (LINES.replace(b"2023110400", b"2023110318"), "2023110318"),
    "two runs": (LINES.replace(b"4:300:d=2023110400", b"4:300:d=2023110318"), "2023110318"),
    "no such step": (LINES.replace(b":anl:", b":6 hour fcst:"), "0 times"),
    "a span": (LINES.replace(b"ground:anl:", b"ground:0-6 hour ave fcst:"), "0 times"),
    "days": (LINES.replace(b"ground:anl:", b"ground:0-1 day ave fcst:"), "0 times"),
    "twice": (LINES.replace(b"APTMP", b"TMP"), "2 times"),
    "an ensemble spread": (
        LINES.replace(b"2 m above ground:anl:", b"2 m above ground:anl:ens spread"),
        "0 times",
    ),
    "a member": (
        LINES.replace(b"2 m above ground:anl:", b"2 m above ground:anl:ENS=+1"),
        "0 times",
    ),
    "descending": (LINES.replace(b"4:300", b"4:150"), "ascend"),
    "cut": (LINES[:-20], "has the line"),
    "a page": (b"<html></html>", "<html>"),
    "bytes": (bytes(range(256)), "has the line"),
    "no number": (LINES.replace(b"3:200", b"3:-200"), "has the line"),
    "beyond": (LINES.replace(b"4:300", b"4:900"), "200 to 900 of 400"),
    "far beyond": (LINES.replace(b"3:200", b"3:800").replace(b"4:300", b"4:900"), "of 400"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_inventory_says_why(fault: str) -> None:
    index, why = FAULTS[fault]
    with pytest.raises(IndexFaultError, match=why):
        found(index)


def test_an_inventory_that_ends_too_early_does_not_fetch_the_rest_of_the_object() -> None:
    with pytest.raises(IndexFaultError, match="more than one can have"):
        found(LINES[: LINES.index(b"4:300")], size=SIZE)


def test_a_forecast_is_found_by_its_step() -> None:
    index = LINES.replace(b":anl:", b":21 hour fcst:")
    assert found(index, step_h=21) == ByteRange(200, 300)
    with pytest.raises(IndexFaultError, match="0 times"):
        found(index, step_h=1)


def test_the_run_is_compared_to_the_hour() -> None:
    index = LINES.replace(b"2023110400", b"2023110418")
    assert found(index, run="2023-11-04T18") == ByteRange(200, 300)
    assert np.datetime_as_string(RUN, unit="h") == "2023-11-04T00"
