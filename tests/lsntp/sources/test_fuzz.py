"""Real files with their bytes changed: refused, or read as fields that quality judges.

Whatever the bytes are, this process neither crashes nor hangs nor runs out of memory. Seeds are
fixed: a case is its number.
"""

import hashlib
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from lsntp.config import QualityConfig
from lsntp.errors import LsntpError, SourceUnavailableError
from lsntp.grid import Grid, regular_grid
from lsntp.quality import History, assess
from lsntp.sources import limits
from lsntp.sources.era5.delivery import Asset
from lsntp.sources.files import FileSource
from lsntp.sources.framing import Frame, frame_messages
from lsntp.times import Period, hours, parse_time

EVER = Period.parse("1900-01-01", "2100-01-01")
GIB = 2**30


@dataclass(frozen=True)
class Sample:
    """A real file, as much of it as is used, and the step and cells of a fitting domain."""

    name: str
    keep: int
    cadence_h: float
    area: Grid


def box(north: float, south: float, west: float, east: float, spacing: float = 0.25) -> Grid:
    return regular_grid(north=north, south=south, west=west, east=east, spacing=spacing)


SAMPLES = {
    "GRIB 1": Sample("era5/era5_t2m_1h_uk_2019-03.grib", 4 * 3360, 1, box(58, 50, -10, 2)),
    "GRIB 1, small": Sample(
        "era5/era5_t2m_1h_england_2025-01_2025-03_expver_mix.grib", 9 * 158, 1, box(52, 51, -1, 0)
    ),
    "GRIB 2": Sample(
        "gfs/gfs_1p00_2026061800_anl_TMP_2m.grib2", 10**6, 6, box(80, -80, -170, 170, 1)
    ),
    "netCDF-3": Sample("era5/era5_t2m_natlantic_2023-01-01T12.nc", 10**6, 1, box(70, 30, -30, 10)),
    "netCDF-4": Sample(
        "era5/era5_t2m_1h_berlin_2017-01_2017-08.nc", 10**6, 1, box(52.6, 52.35, 13.1, 13.6)
    ),
    "ZIP": Sample("era5/cds_zip_payload_java_2026-01.zip", 10**6, 1, box(-6.5, -8.5, 109.5, 111.5)),
}


@pytest.fixture(scope="module")
def contents(shared_data: Path) -> dict[str, bytes]:
    return {
        kind: (shared_data / sample.name).read_bytes()[: sample.keep]
        for kind, sample in SAMPLES.items()
    }


# --- how bytes go wrong -------------------------------------------------------------------------

Rng = np.random.Generator
Mutation = Callable[[bytes, Rng], bytes]
HEADERS = 400
"""Bytes from the start of a message or file in which headers lie."""


def start_of_one(content: bytes, rng: Rng) -> int:
    """Where a message starts, or the file."""
    starts = [0]
    while (start := content.find(b"GRIB", starts[-1] + 1)) > 0:
        starts.append(start)
    return int(rng.choice(starts))


def replaced(content: bytes, position: int, new: bytes) -> bytes:
    return content[:position] + new + content[position + len(new) :]


def flipped(content: bytes, positions: np.ndarray, rng: Rng) -> bytes:
    changed = bytearray(content)
    for position in positions:
        changed[position] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def bits_of_headers(content: bytes, rng: Rng) -> bytes:
    start = start_of_one(content, rng) + 8
    last = min(start + HEADERS, len(content))
    return flipped(content, rng.integers(start, last, rng.integers(1, 6)), rng)


def bits_anywhere(content: bytes, rng: Rng) -> bytes:
    return flipped(content, rng.integers(8, len(content), rng.integers(1, 20)), rng)


def cut_short(content: bytes, rng: Rng) -> bytes:
    return content[: int(rng.integers(len(content)))]


def huge_number(content: bytes, rng: Rng) -> bytes:
    start = start_of_one(content, rng)
    position = start + int(rng.integers(4, min(HEADERS, len(content) - start - 8)))
    size = int(rng.choice([1, 2, 3, 4, 8]))
    return replaced(content, position, b"\x7f" + b"\xff" * (size - 1))


def piece_repeated(content: bytes, rng: Rng) -> bytes:
    start, end = sorted(rng.integers(0, len(content), 2).tolist())
    return content[:end] + content[start:end] + content[end:]


def piece_lost(content: bytes, rng: Rng) -> bytes:
    start, end = sorted(rng.integers(4, len(content), 2).tolist())
    return content[:start] + content[end:]


def spliced(content: bytes, rng: Rng) -> bytes:
    """The head of the file, up to within a message, with the tail of it from within another."""
    head, tail = (start_of_one(content, rng) + int(rng.integers(8, 150)) for _ in range(2))
    return content[:head] + content[tail:]


def random_bytes(content: bytes, rng: Rng) -> bytes:
    position = int(rng.integers(4, len(content)))
    return replaced(content, position, rng.bytes(int(rng.integers(1, 64))))[: len(content)]


MUTATIONS: tuple[Mutation, ...] = (
    bits_of_headers,
    bits_anywhere,
    cut_short,
    huge_number,
    piece_repeated,
    piece_lost,
    spliced,
    random_bytes,
)


def mutated(number: int, contents: dict[str, bytes]) -> tuple[str, bytes]:
    """Kind of sample and changed bytes of a case; samples and mutations take turns."""
    rng = np.random.default_rng([number, 13])
    kind = tuple(SAMPLES)[number % len(SAMPLES)]
    change = MUTATIONS[(number // len(SAMPLES)) % len(MUTATIONS)]
    content = contents[kind]
    changed = change(content, rng)
    return kind, changed if changed != content else replaced(content, 4, b"\xff\xff")


# --- no crash, no hang, no false field ----------------------------------------------------------


def fetched(path: Path, sample: Sample) -> list[xr.Dataset]:
    """What the pipeline gets from a file."""
    source = FileSource(
        [str(path)], origin=parse_time("1900-01-01"), cadence=hours(sample.cadence_h)
    )
    return source.fetch(source.available(EVER), sample.area)


def accepted(frames: xr.Dataset, sample: Sample, history: History | None = None) -> xr.Dataset:
    return assess(
        frames,
        expected_grid=None,
        history=history,
        limits=QualityConfig(),
        cadence=hours(sample.cadence_h),
        origin=parse_time("1900-01-01"),
    ).accepted


def check_survives(number: int, contents: dict[str, bytes], folder: Path) -> str:
    """How a case ends: the words of the refusal, or ``"read"``."""
    kind, content = mutated(number, contents)
    path = folder / f"{number}.bin"
    path.write_bytes(content)
    try:
        datasets = fetched(path, SAMPLES[kind])
    except LsntpError as error:
        return str(error)
    for frames in datasets:
        assert frames.t2m.dtype == np.float32
        fields = accepted(frames, SAMPLES[kind]).t2m.values
        assert not np.isinf(fields).any()
        assert np.nanmin(fields, initial=273) >= 180
        assert np.nanmax(fields, initial=273) <= 340
    return "read"


def check_all_survive(numbers: range, contents: dict[str, bytes], folder: Path) -> None:
    outcomes = [check_survives(number, contents, folder) for number in numbers]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < 3 * GIB
    assert 0 < outcomes.count("read") < len(outcomes)
    assert all(words == "read" or words.startswith("Expected ") for words in outcomes)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less patience than with true files, so that a hang would show within the test."""
    monkeypatch.setattr(limits, "OPEN_S", 5.0)
    monkeypatch.setattr(limits, "READ_S", 5.0)


@pytest.mark.usefixtures("_impatient")
def test_fifty_changed_files_are_refused_or_read_and_judged(
    contents: dict[str, bytes], tmp_path: Path
) -> None:
    check_all_survive(range(50), contents, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("first", range(50, 550, 100))
def test_five_hundred_changed_files_are_refused_or_read_and_judged(
    first: int, contents: dict[str, bytes], tmp_path: Path
) -> None:
    check_all_survive(range(first, first + 100), contents, tmp_path)


def test_at_least_99_of_100_changed_files_are_caught_by_their_checksum(
    contents: dict[str, bytes], tmp_path: Path
) -> None:
    """By the checks of a result of the Climate Data Store, as a delivery goes through them."""
    told = {
        kind: hashlib.md5(content, usedforsecurity=False).hexdigest()
        for kind, content in contents.items()
    }
    path, caught = tmp_path / "delivered", 0
    for number in range(550):
        kind, content = mutated(number, contents)
        path.write_bytes(content)
        # Of the length that came, so that the checksum alone has to tell.
        asset = Asset("https://store/a.grib", len(content), told[kind])
        try:
            asset.check(path)
        except SourceUnavailableError as error:
            caught += "checksum" in str(error)
    assert caught >= 0.99 * 550
    for kind, content in contents.items():
        path.write_bytes(content)
        Asset("https://store/a.grib", len(content), told[kind]).check(path)


# --- what is caught without a checksum -----------------------------------------------------------

HISTORY_H = 8 * 24
UK = SAMPLES["GRIB 1"]


def exponent_bits(content: bytes, frame: Frame) -> list[tuple[int, int]]:
    """Byte and bit of every bit that scales a message of edition 1, without a bitmap.

    These are the decimal scale (octets 27 and 28 of section 1), the binary scale (octets 5 and 6
    of section 4) and the sign and exponent of the reference value (its octet 7).
    """
    product = frame.offset + 8
    grid = product + int.from_bytes(content[product : product + 3])
    data = grid + int.from_bytes(content[grid : grid + 3])
    octets = (product + 26, product + 27, data + 4, data + 5, data + 6)
    return [(octet, bit) for octet in octets for bit in range(8)]


def test_most_changes_of_an_exponent_are_caught_by_structure_or_quality(
    shared_data: Path, tmp_path: Path
) -> None:
    """Measured without a checksum: 116 of 117 that change a value; 80 % are promised."""
    path = shared_data / UK.name
    content, frames = path.read_bytes(), list(frame_messages(path, path.name))
    (true,) = fetched(path, UK)
    grid = Grid(true.latitude.values, true.longitude.values)
    caught = changed = 0
    for index in (200, 391, 640):
        frame = frames[index]
        stored = slice(index - HISTORY_H, index)
        history = History(
            grid, true.time.values[stored], true.t2m.values[stored], lambda fields: fields
        )
        for octet, bit in exponent_bits(content, frame):
            message = bytearray(content[frame.offset : frame.offset + frame.length])
            message[octet - frame.offset] ^= 1 << bit
            (tmp_path / "flipped").write_bytes(message)
            try:
                (frames_of_one,) = fetched(tmp_path / "flipped", UK)
            except LsntpError:
                changed, caught = changed + 1, caught + 1
                continue
            if np.array_equal(frames_of_one.t2m.values[0], true.t2m.values[index]):
                continue
            changed += 1
            caught += accepted(frames_of_one, UK, history).sizes["time"] == 0
    assert changed > 100
    assert caught >= 0.80 * changed
