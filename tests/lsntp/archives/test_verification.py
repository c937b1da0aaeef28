"""Every kind of damage is found and named; a whole archive, even one being written, is not."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

from lsntp.archives import verification
from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.evaluation import (
    BELOW_SUM,
    CELL_SUMS,
    COUNT,
    ENSEMBLE_SUMS,
    FRAME_SUMS,
    MAP_COUNT,
    EvaluationArchive,
    ScoredFrames,
)
from lsntp.archives.findings import Fault
from lsntp.archives.forecast import ForecastArchive
from lsntp.archives.inspection import Look, Snapshot, read_metadata
from lsntp.archives.lease import writer_lease
from lsntp.archives.verification import verify_archive
from lsntp.names import Status
from lsntp.times import hours

LEADS = np.array([hours(1), hours(2)])


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 16
    file.write_bytes(content)


def put(path: Path, name: str, where: object, value: object) -> None:
    """Write values behind the archive's back, with sound checksums."""
    zarr.open_group(path, mode="r+")[name][where] = value


def found(path: Path, kind: str = "analysis", **options) -> list[tuple[Fault, str, str]]:
    report = verify_archive(path, kind, **options)
    return [(finding.fault, finding.array, finding.where) for finding in report.findings]


@pytest.fixture(autouse=True)
def _quick_second_look(monkeypatch):
    monkeypatch.setattr(verification, "PAUSE_S", 0.01)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, lab) -> Path:
    """60 hours in three chunks: final, preliminary, missing and quarantined ones."""
    path = tmp_path_factory.mktemp("whole") / "x.zarr"
    archive = lab.create(path, lab.SMALL_GRID)
    final, preliminary = np.r_[0:20, 24:40, 50:60], np.r_[20:24, 40:44]
    archive.publish(lab.make_frames(final, grid=lab.SMALL_GRID), now=lab.NOW)
    early = lab.make_frames(preliminary, Status.PRELIMINARY, lab.SMALL_GRID)
    archive.publish(early, now=lab.NOW)
    archive.mark(lab.START + np.array([46]) * lab.HOUR, Status.QUARANTINED, now=lab.NOW)
    return path


@pytest.fixture
def damaged(whole, tmp_path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(whole, tmp_path / "x.zarr"))


def test_a_whole_archive_is_found_whole_and_nothing_is_touched(whole):
    before = [(path, path.stat().st_mtime_ns) for path in sorted(whole.parent.rglob("*"))]
    report = verify_archive(whole, "analysis")
    assert report.findings == ()
    # Three of t2m; one each of latitude, longitude, time, status, digest and ingested_at.
    assert (report.slots, report.objects, report.decoded) == (60, 9, 9)
    assert [(path, path.stat().st_mtime_ns) for path in sorted(whole.parent.rglob("*"))] == before


def test_archives_of_no_hours_and_of_missing_chunks_are_whole(tmp_path, lab):
    archive = lab.create(tmp_path / "x.zarr", lab.SMALL_GRID)
    assert found(archive.path) == []
    archive.publish(lab.make_frames([100], grid=lab.SMALL_GRID))
    assert found(archive.path) == []


DAY_2 = "2020-02-29T00:00Z to 2020-02-29T23:00Z"
ALL = "2020-02-28T00:00Z to 2020-03-01T11:00Z"


@pytest.mark.parametrize("damage", [truncate, empty, flip, Path.unlink])
@pytest.mark.parametrize(
    ("key", "where"),
    [
        ("t2m/c/1/0/0", DAY_2),
        ("status/c/0", ALL),
        ("source_digest/c/0/0", ALL),
        ("ingested_at/c/0", ALL),
        ("time/c/0", ALL),
        ("longitude/c/0", "longitude/c/0"),
    ],
)
def test_a_damaged_or_deleted_object_is_named_with_its_hours(
    damaged, damage: Callable[[Path], None], key, where
):
    damage(damaged / key)
    fault = Fault.UNREADABLE if (damaged / key).exists() else Fault.MISSING
    (finding,) = verify_archive(damaged, "analysis").findings
    assert (finding.fault, finding.array) == (fault, key.split("/")[0])
    assert (finding.key, finding.where) == (key, where)
    assert "lsntp repair" in finding.remedy


def test_a_plain_reader_refuses_a_flipped_bit_too(damaged):
    flip(damaged / "t2m/c/1/0/0")
    import xarray as xr

    with pytest.raises(ValueError, match="checksum"):
        xr.open_zarr(damaged, chunks=None)["t2m"].load()


@pytest.mark.parametrize("damage", [truncate, empty, Path.unlink])
@pytest.mark.parametrize(("key", "array"), [("zarr.json", ""), ("status/zarr.json", "status")])
def test_damaged_metadata_is_named(damaged, damage, key, array):
    damage(damaged / key)
    (finding,) = verify_archive(damaged, "analysis").findings
    assert (finding.fault, finding.array, finding.key) == (Fault.METADATA, array, key)


def edit(file: Path, change: Callable[[dict], None]) -> None:
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def test_metadata_that_differs_from_the_consolidated_copy_is_named(damaged):
    edit(damaged / "t2m" / "zarr.json", lambda document: document["attributes"].clear())
    (finding,) = verify_archive(damaged, "analysis").findings
    assert (finding.fault, finding.array) == (Fault.METADATA, "t2m")
    assert finding.what == "differs from the consolidated copy"


def test_arrays_of_different_lengths_are_named(damaged):
    def shorten(document):
        document["consolidated_metadata"]["metadata"]["status"]["shape"] = [50]

    edit(damaged / "zarr.json", shorten)
    whats = [finding.what for finding in verify_archive(damaged, "analysis").findings]
    assert "arrays of 50 and 60 along time" in whats


@pytest.mark.parametrize(
    ("array", "where", "value", "expected"),
    [
        # Said to be final, but the field is not a number; and that hour has no digest.
        ("status", 45, Status.FINAL, [("source_digest", "T21:00Z"), ("t2m", "T21:00Z")]),
        # Said to be missing, but field and digest are there.
        ("status", 30, Status.MISSING, [("source_digest", "T06:00Z"), ("t2m", "T06:00Z")]),
        ("status", 30, 9, [("source_digest", "T06:00Z"), ("status", "T06:00Z"), ("t2m", "T06")]),
        ("t2m", (30, 0, 1), np.nan, [("t2m", "T06:00Z")]),
        ("t2m", (46, 0, 1), 280.0, [("t2m", "T22:00Z")]),
        ("source_digest", 30, 0, [("source_digest", "T06:00Z")]),
        ("time", slice(30, 32), 7, [("time", "T06:00Z to 2020-02-29T07:00Z")]),
    ],
)
def test_values_that_contradict_each_other_are_named(damaged, array, where, value, expected):
    put(damaged, array, where, value)
    findings = verify_archive(damaged, "analysis").findings
    assert {finding.fault for finding in findings} == {Fault.CONTENT}
    assert [finding.array for finding in findings] == [name for name, _ in expected]
    for finding, (_, hour) in zip(findings, expected, strict=True):
        assert finding.where.startswith(f"2020-02-29{hour}")


def test_a_sample_decodes_no_more_than_asked_but_misses_no_absent_object(tmp_path, lab):
    archive = lab.create(tmp_path / "x.zarr", lab.SMALL_GRID)
    archive.publish(lab.make_frames(range(24 * 30), grid=lab.SMALL_GRID))
    report = verify_archive(archive.path, "analysis", sample=5, seed=1)
    assert (report.objects, report.decoded) == (30 + 6, 5 + 6)
    for day in (3, 17, 29):
        (archive.path / f"t2m/c/{day}/0/0").unlink()
    assert len(found(archive.path, sample=0)) == 3
    assert len(found(archive.path, sample=5)) == 3


def test_a_writer_at_work_is_never_mistaken_for_damage(tmp_path, lab, start_process):
    before, path = tmp_path / "before.zarr", tmp_path / "x.zarr"
    lab.prepare(before)
    looks = 0
    with start_process("serve", path) as server:
        for _ in range(3):
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(before, path)
            print("never", file=server.stdin, flush=True)
            sizes = {0}
            while 100 not in sizes:
                report = verify_archive(path, "analysis")
                assert report.findings == ()
                sizes.add(report.slots)
                looks += 1
            assert server.stdout.readline() == "published\n"
            assert server.stdout.readline() == "ended\n"
    assert looks >= 6


def test_what_a_killed_writer_left_half_written_is_found_until_the_next_write(
    tmp_path, lab, start_process
):
    path = tmp_path / "x.zarr"
    lab.prepare(path)
    with start_process("serve", path) as server:
        print("within 9", file=server.stdin, flush=True)
        assert server.stdout.readline() == "ended\n"
    # Inside the extent: digests of preliminary hours were withdrawn, and hours 12 to 19, which
    # were missing, hold fields that no status speaks of.
    findings = verify_archive(path, "analysis").findings
    assert [(finding.array, finding.region[0]) for finding in findings] == [
        ("source_digest", (8, 12)),
        ("source_digest", (30, 32)),
        ("t2m", (12, 20)),
    ]
    AnalysisArchive.open(path).publish(lab.disputed_frames(), now=lab.NOW)
    assert found(path) == []


def test_waiting_for_a_writer_has_an_end(damaged):
    put(damaged, "status", 45, Status.FINAL)
    with writer_lease(damaged):
        assert len(found(damaged, patience_s=0.5)) == 2


@pytest.fixture(scope="module")
def whole_forecasts(tmp_path_factory, lab) -> Path:
    archive = ForecastArchive.create(
        tmp_path_factory.mktemp("forecasts") / "f.zarr",
        grid=lab.SMALL_GRID,
        start=lab.START,
        cadence=lab.HOUR,
        lead_times=LEADS,
        attrs={},
    )
    slots = np.array([1, 2, 4])
    archive.publish(
        lab.START + slots * lab.HOUR,
        np.full((3, 2, 2, 3), 280, np.float32),
        model_version="ridge-0123456789ab",
        analysis_status=np.full(3, Status.FINAL, np.int8),
    )
    return archive.path


@pytest.fixture
def forecasts(whole_forecasts, tmp_path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(whole_forecasts, tmp_path / "f.zarr"))


def at(hour: int) -> str:
    return f"2020-02-28T{hour:02}:00Z"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: None, []),
        (lambda path: flip(path / "t2m/c/2/0/0/0"), [(Fault.UNREADABLE, "t2m", at(2))]),
        (lambda path: (path / "t2m/c/4/0/0/0").unlink(), [(Fault.MISSING, "t2m", at(4))]),
        (
            lambda path: (path / "written_leads/c/0").unlink(),
            [(Fault.MISSING, "written_leads", f"{at(0)} to {at(4)}")],
        ),
        (
            lambda path: truncate(path / "model_version/c/0"),
            [(Fault.UNREADABLE, "model_version", f"{at(0)} to {at(4)}")],
        ),
        (
            lambda path: put(path, "written_leads", 3, 2),
            [
                (Fault.CONTENT, "analysis_status", at(3)),
                (Fault.CONTENT, "model_version", at(3)),
                (Fault.MISSING, "t2m", at(3)),
            ],
        ),
        (
            lambda path: put(path, "written_leads", 4, 0),
            [(Fault.CONTENT, "model_version", at(4)), (Fault.CONTENT, "t2m", at(4))],
        ),
        (lambda path: put(path, "valid_time", (2, 1), 0), [(Fault.CONTENT, "valid_time", at(2))]),
        (lambda path: truncate(path / "lead_time/c/0"), [(Fault.UNREADABLE, "lead_time", "lead")]),
    ],
)
def test_damaged_forecasts_are_named(forecasts, damage, expected):
    damage(forecasts)
    findings = found(forecasts, "forecast")
    assert [finding[:2] for finding in findings] == [finding[:2] for finding in expected]
    for (_, _, where), (_, _, wanted) in zip(findings, expected, strict=True):
        assert where.startswith(wanted)


@pytest.fixture(scope="module")
def whole_scores(tmp_path_factory, lab) -> Path:
    """Two frames of one model in February, one in March."""
    archive = EvaluationArchive.create(
        tmp_path_factory.mktemp("scores") / "e.zarr",
        grid=lab.SMALL_GRID,
        start=lab.START,
        cadence=lab.HOUR,
        lead_times=LEADS,
        attrs={},
    )
    slots = np.array([1, 5, 60])
    sums = {name: np.ones((3, 2)) for name in FRAME_SUMS} | {COUNT: np.full((3, 2), 6)}
    cells = {name: np.ones((2, *lab.SMALL_GRID.shape)) for name in CELL_SUMS}
    maps = cells | {MAP_COUNT: np.array([2, 2])}
    frames = ScoredFrames(
        init_times=lab.START + slots * lab.HOUR,
        is_scored=np.ones((3, 2), bool),
        sums=sums,
        truth_status=np.full((3, 2), Status.FINAL, np.int8),
        inputs=np.full((3, 2), 7),
        model_version=["ridge-0123456789ab"] * 3,
    )
    months = [np.datetime64(month, "ns") for month in ("2020-02", "2020-03")]
    archive.publish("ridge", frames, dict.fromkeys(months, maps))
    return archive.path


@pytest.fixture
def scores(whole_scores, tmp_path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(whole_scores, tmp_path / "e.zarr"))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: None, []),
        (lambda path: flip(path / "ssim_paper/c/0/0/0"), [(Fault.UNREADABLE, "ssim_paper")]),
        (lambda path: (path / "error_sum/c/0/0/0").unlink(), [(Fault.MISSING, "error_sum")]),
        (
            lambda path: (path / "inputs_digest/c/0/0/0").unlink(),
            [(Fault.MISSING, "inputs_digest")],
        ),
        (
            lambda path: (path / "map_error_sum/c/0/1/0/0/0").unlink(),
            [(Fault.MISSING, "map_error_sum")],
        ),
        (lambda path: truncate(path / "model/c/0"), [(Fault.UNREADABLE, "model")]),
        (lambda path: put(path, "count", (0, 5, 1), 0), [(Fault.CONTENT, "count")]),
        (
            lambda path: put(path, "squared_error_sum", (0, 5, 1), np.nan),
            [(Fault.CONTENT, "squared_error_sum")],
        ),
        (lambda path: put(path, "inputs_digest", (0, 60), 0), [(Fault.CONTENT, "inputs_digest")]),
    ],
)
def test_damaged_scores_are_named(scores, damage, expected):
    damage(scores)
    assert [finding[:2] for finding in found(scores, "evaluation")] == expected


@pytest.mark.parametrize("array", ["count", "error_sum", "ssim_paper", "map_error_sum", "model"])
def test_scores_whose_root_gives_them_other_dimensions_are_named(scores, array):
    root = json.loads((scores / "zarr.json").read_text())
    document = root["consolidated_metadata"]["metadata"][array]
    for part in (document["shape"], document["dimension_names"]):
        part.append(part[0] if part is document["shape"] else "other")
    document["chunk_grid"]["configuration"]["chunk_shape"].append(1)
    (scores / "zarr.json").write_text(json.dumps(root))
    assert (Fault.METADATA, array) in [finding[:2] for finding in found(scores, "evaluation")]


def test_sums_of_members_come_together_or_not_at_all(scores):
    root = zarr.open_group(scores, mode="r")
    archive = EvaluationArchive.open(scores)
    shape = (1, archive.lead_times.size)
    sums = {name: np.ones(shape) for name in (*FRAME_SUMS, *ENSEMBLE_SUMS)}
    sums[BELOW_SUM] = np.ones((*shape, 10))
    one = ScoredFrames(
        init_times=archive.init_times[:1],
        is_scored=np.ones(shape, bool),
        sums=sums | {COUNT: np.full(shape, 6)},
        truth_status=np.full(shape, 2, np.int8),
        inputs=np.full(shape, 5),
        model_version=["ensemble-1"],
    )
    cells = {name: np.asarray(root[name])[0, 0] for name in (MAP_COUNT, *CELL_SUMS)}
    archive.publish("ensemble", one, {archive.start.astype("datetime64[M]"): cells})
    place = archive.models.index("ensemble")
    assert found(scores, "evaluation") == []
    (scores / f"crps_sum/c/{place}/0/0").unlink()
    assert [finding[:2] for finding in found(scores, "evaluation")] == [(Fault.MISSING, "crps_sum")]


def test_a_writer_between_two_looks_at_the_metadata_is_no_damage(tmp_path, lab):
    archive = lab.create(tmp_path / "x.zarr", lab.SMALL_GRID)
    archive.publish(lab.make_frames([0, 1], grid=lab.SMALL_GRID))
    metadata = read_metadata(archive.path, ())
    archive.publish(lab.make_frames([2, 3], grid=lab.SMALL_GRID))
    look = Look(Snapshot(archive.path, metadata))
    assert look.whole("time").values.shape == (2,)
    assert look.findings() == []


def test_coordinates_may_differ_in_their_last_digits(tmp_path, lab):
    """Gaussian latitudes are roots of a polynomial, found to the last digit but one."""
    path = lab.create(tmp_path / "x.zarr", lab.SMALL_GRID).path
    latitude = np.asarray(zarr.open_group(path, mode="r")["latitude"])
    for difference, findings in ((1e-13, 0), (0.1, 1)):
        look = Look(Snapshot(path, read_metadata(path, ())))
        look.expect_values("latitude", latitude + difference)
        assert len(look.findings()) == findings


@pytest.fixture
def unsure(tmp_path, lab):
    """An archive of two forecasts, the second with quantiles."""
    archive = ForecastArchive.create(
        tmp_path / "unsure.zarr",
        grid=lab.SMALL_GRID,
        start=lab.START,
        cadence=lab.HOUR,
        lead_times=LEADS,
        attrs={"title": "forecasts"},
    )
    t2m = np.full((1, 2, *lab.SMALL_GRID.shape), 280.0, np.float32)
    quantiles = np.full((1, 10, *t2m.shape[1:]), 280.0, np.float32)
    final = np.array([Status.FINAL], np.int8)
    for slot, more in ((0, None), (1, quantiles)):
        times = lab.START + np.array([slot]) * lab.HOUR
        archive.publish(times, t2m, model_version="a-1", analysis_status=final, quantiles=more)
    return archive.path


def test_quantiles_lie_where_they_are_said_to_lie(unsure):
    assert found(unsure, "forecast") == []
    (unsure / "t2m_quantile/c/1/0/0/0/0").unlink()
    assert [finding[:2] for finding in found(unsure, "forecast")] == [
        (Fault.MISSING, "t2m_quantile")
    ]


def test_quantiles_that_nobody_claims_are_found(unsure):
    chunks = unsure / "t2m_quantile/c"
    (chunks / "0/0/0/0").mkdir(parents=True)
    (chunks / "0/0/0/0/0").write_bytes((chunks / "1/0/0/0/0").read_bytes())
    assert [finding[:2] for finding in found(unsure, "forecast")] == [
        (Fault.CONTENT, "t2m_quantile")
    ]
