import hashlib

import numpy as np
import pytest
import xarray as xr

from lsntp.archives.quarantine import QuarantineEntry, Rejection
from lsntp.config import QualityConfig
from lsntp.grid import regular_grid
from lsntp.quality import assess
from lsntp.report.reasons import OTHER, count_reasons, kind_of
from lsntp.times import hours, parse_time

GRID = regular_grid(north=60, south=25, west=0, east=19, spacing=1)
START = parse_time("2021-01-01")


def true_fields(count):
    random = np.random.default_rng(3)
    pattern = random.normal(0, 4, GRID.shape)
    slope = 300 - 1.0 * (GRID.latitude[:, None] - 25)
    return np.stack([slope + pattern + 0.1 * k for k in range(count)])


def reasons_for(spoil, expected_grid=GRID):
    """What the quality check says of the fifth of six fields, spoilt."""
    fields, times = true_fields(6), START + np.arange(6) * hours(1)
    fields[4], times[4] = spoil(fields[4]), times[4]
    frames = frames_of(fields, times)
    found = assess(
        frames,
        expected_grid=expected_grid,
        history=None,
        limits=QualityConfig(),
        cadence=hours(1),
        origin=START,
    )
    (rejection,) = [r for r in found.rejections if r.time == times[4]]
    return rejection.reasons


def frames_of(fields, times):
    digests = [list(hashlib.sha256(field.tobytes()).digest()) for field in fields]
    return xr.Dataset(
        {
            "t2m": (("time", "latitude", "longitude"), fields.astype(np.float32)),
            "status": ("time", np.full(len(fields), 2, np.int8)),
            "source_digest": (("time", "digest_byte"), np.array(digests, np.uint8)),
        },
        {"time": times, "latitude": GRID.latitude, "longitude": GRID.longitude},
    )


def with_cell(value):
    def spoil(field):
        field = field.copy()
        field[2, 3] = value
        return field

    return spoil


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("NaN", with_cell(np.nan)),
        ("infinite values", with_cell(np.inf)),
        ("zeros", with_cell(0.0)),
        ("implausible values", with_cell(400.0)),
        ("degrees Celsius", lambda field: field - 273.15),
        ("constant, or partly so", lambda field: np.full_like(field, 280.0)),
        ("upside down", lambda field: field[::-1]),
        ("a spread or difference", lambda field: np.abs(np.sin(field)) + 0.1),
    ],
)
def test_what_the_quality_check_says_has_a_kind(kind, spoil):
    assert kind in {kind_of(reason) for reason in reasons_for(spoil)}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("repeated or frozen", "found 9 of 9 cells unchanged; this looks like a repeated field."),
        (
            "repeated or frozen",
            "Expected cells that change, found 5 of 9 frozen for 6 steps and more.",
        ),
        (
            "displaced",
            "3.1 times better when moved back by 4 columns (4 degrees): it lies too far east.",
        ),
        ("wrong time", "fits +6 h 3.0 times better: its time looks wrong."),
        ("wrong time", "found it at 3.0 h: the times look -12 h off (local time instead of UTC?)."),
        ("out of season or place", "this looks like another season, hemisphere or place."),
        (
            "a jump in time",
            "Expected most cells within 40 K of the previous field, found a median difference.",
        ),
        ("a jump in time", "found 31.0 K (root mean square): a jump in time."),
        ("a jump in space", "found 12.0 K near 50 N 0 E: a jump in space."),
    ],
)
def test_sentences_about_neighbours_in_time_have_a_kind(kind, reason):
    assert kind_of(reason) == kind


def test_another_grid_and_two_fields_for_one_time_have_kinds():
    other = regular_grid(north=60, south=25, west=0, east=19, spacing=0.5)
    assert {kind_of(r) for r in reasons_for(lambda field: field, other)} == {"another grid"}
    fields = true_fields(3)
    times = START + np.array([0, 1, 1]) * hours(1)
    found = assess(
        frames_of(fields, times),
        expected_grid=GRID,
        history=None,
        limits=QualityConfig(),
        cadence=hours(1),
        origin=START,
    )
    kinds = {kind_of(reason) for r in found.rejections for reason in r.reasons}
    assert kinds == {"several fields for one time"}


def test_a_reason_nobody_knows_is_counted_as_other():
    assert kind_of("Expected nothing like it.") == OTHER


def test_counts_are_of_fields_with_first_and_last(tmp_path):
    constant = "Expected a field that varies, found 280.00 K in all 9 cells."
    entries = [
        QuarantineEntry(tmp_path, Rejection(START + hours(hour), reasons), "00")
        for hour, reasons in (
            (5, (constant, constant)),
            (1, (constant,)),
            (3, ("Expected nothing like it.",)),
        )
    ]
    first, second = count_reasons(entries)
    assert (first.kind, first.count) == ("constant, or partly so", 2)
    assert (first.first, first.last) == (START + hours(1), START + hours(5))
    assert (second.kind, second.count) == (OTHER, 1)
