"""Damage is made good from the source, the models and the scores; what cannot be is said."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from lsntp.archives import verification
from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.forecast import ForecastArchive
from lsntp.archives.lease import writer_lease
from lsntp.archives.verification import verify
from lsntp.config import Domain, load_domain
from lsntp.errors import ArchiveBusyError, ArchiveError
from lsntp.ingest import ingest
from lsntp.names import Status
from lsntp.repair import repair
from lsntp.sources.files import FileSource
from lsntp.times import Period, hours
from lsntp.workspace import Workspace
from tests.lsntp.ingest_files import NATIVE, NOW, START, YAML


@pytest.fixture(autouse=True)
def _quick_second_look(monkeypatch):
    monkeypatch.setattr(verification, "PAUSE_S", 0.01)


def write_source(file: Path, day: int, expver: str = "0001") -> None:
    """A day of plain weather; hour 7 of each day is broken and goes to quarantine."""
    lat, lon = np.meshgrid(NATIVE.latitude, NATIVE.longitude, indexing="ij")
    hour = 24 * day + np.arange(24)
    diurnal = 3 * np.sin(2 * np.pi * (hour - 8.7) / 24)[:, None, None]
    values = (310 - 0.6 * lat + np.sin(np.radians(20 * lon + 7 * lat)) + diurnal).astype("f4")
    values[7] = 0
    xr.Dataset(
        {"t2m": (("valid_time", "latitude", "longitude"), values, {"units": "K"})},
        {
            "valid_time": START + hour * hours(1),
            "latitude": ("latitude", NATIVE.latitude, {"units": "degrees_north"}),
            "longitude": ("longitude", NATIVE.longitude, {"units": "degrees_east"}),
            "expver": ("valid_time", [expver] * 24),
        },
    ).to_netcdf(file, engine="netcdf4")


def domain_at(folder: Path) -> Domain:
    file = folder / "tiny.yaml"
    file.write_text(YAML.format(paths="*.nc", root=folder / "root"))
    return load_domain(file)


@pytest.fixture(scope="module")
def _world(tmp_path_factory) -> Path:
    """Three days of source and their archive; the last day is preliminary."""
    folder = tmp_path_factory.mktemp("world") / "w"
    folder.mkdir()
    for day in range(3):
        write_source(folder / f"day{day}.nc", day, "0005" if day == 2 else "0001")
    ingest(domain_at(folder), clock=lambda: NOW)
    return folder


@pytest.fixture
def world(_world, tmp_path) -> Domain:
    """A copy to damage, at the same path for every test, as the archive records it."""
    shutil.copytree(_world, tmp_path / "w")
    return domain_at(tmp_path / "w")


def stored(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def analysis(domain: Domain) -> Path:
    return Workspace.of(domain).analysis


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 16
    file.write_bytes(content)


def say_final(path: Path) -> None:
    zarr.open_group(path, mode="r+")["status"][7] = Status.FINAL


def say_missing(path: Path) -> None:
    zarr.open_group(path, mode="r+")["status"][30] = Status.MISSING


def power_loss(path: Path) -> None:
    """Everything the last publish rewrote is empty, as on a disk that was not told to sync."""
    for name in ("status/c/0", "source_digest/c/0/0", "ingested_at/c/0", "time/c/0"):
        os.truncate(path / name, 0)


DAMAGES: list[Callable[[Path], object]] = [
    lambda path: flip(path / "t2m/c/1/0/0"),
    lambda path: (path / "t2m/c/2/0/0").unlink(),
    lambda path: truncate(path / "status/c/0"),
    lambda path: (path / "status/c/0").unlink(),
    lambda path: truncate(path / "source_digest/c/0/0"),
    lambda path: (path / "ingested_at/c/0").unlink(),
    lambda path: truncate(path / "time/c/0"),
    lambda path: (path / "latitude/c/0").unlink(),
    lambda path: truncate(path / "zarr.json"),
    lambda path: (path / "t2m/zarr.json").unlink(),
    say_final,
    say_missing,
    power_loss,
]


def test_nothing_between_two_damaged_days_is_asked_for(world, monkeypatch):
    for day in (0, 2):
        flip(analysis(world) / f"t2m/c/{day}/0/0")
    asked, fetch = [], FileSource.fetch

    def noted(self, times, area):
        asked.extend(times)
        return fetch(self, times, area)

    monkeypatch.setattr(FileSource, "fetch", noted)
    assert repair(world, clock=lambda: NOW).lost == ()
    assert {int((time - START) / hours(24)) for time in asked} == {0, 2}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_repaired_archive_is_the_undisturbed_one_byte_for_byte(world, damage):
    # The source folder moved with the copy, so its paths in the root are brought up to date.
    repaired = stored(analysis(world))
    damage(analysis(world))
    assert stored(analysis(world)) != repaired

    report = repair(world, clock=lambda: NOW)

    assert not report.did_nothing
    assert report.lost == ()
    after = stored(analysis(world))
    assert after.keys() == repaired.keys()
    assert [key for key in after if after[key] != repaired[key]] in ([], ["zarr.json"])
    assert xr.open_zarr(analysis(world), chunks=None).attrs.keys() >= {"title", "lsntp_start"}
    second = repair(world)
    assert second.did_nothing
    assert second.done == second.lost == ()
    assert stored(analysis(world)) == after


def test_a_lost_root_is_made_from_the_arrays_and_the_domain_file(world):
    path = analysis(world)
    before = xr.open_zarr(path, chunks=None).load()
    (path / "zarr.json").unlink()
    assert repair(world).lost == ()
    after = xr.open_zarr(path, chunks=None).load()
    xr.testing.assert_equal(after, before)
    assert after.attrs["lsntp_start"] == "2019-03-01T00:00:00Z"
    assert ingest(world).did_nothing


def lose_metadata(path: Path) -> None:
    for document in path.rglob("zarr.json"):
        document.unlink()


def test_without_any_metadata_the_chunks_say_how_far_an_archive_reaches(world):
    path = analysis(world)
    before = stored(path)
    lose_metadata(path)
    assert repair(world, clock=lambda: NOW).lost == ()
    assert stored(path).keys() == before.keys()
    assert [key for key in before if stored(path)[key] != before[key]] in ([], ["zarr.json"])
    assert verify(world).findings == 0


def test_forecasts_and_scores_without_any_metadata_keep_every_value(trained):
    from lsntp.evaluation.scoring import evaluate
    from lsntp.forecasting import forecast

    test = trained.split.test.period
    forecast(trained, models=["persistence"], period=Period(test.start, test.start + hours(30)))
    evaluate(trained)
    workspace = Workspace.of(trained)
    for path in (workspace.forecast("persistence"), workspace.evaluation):
        before = xr.open_zarr(path, chunks=None).load()
        lose_metadata(path)
        assert repair(trained).lost == ()
        xr.testing.assert_equal(xr.open_zarr(path, chunks=None).load(), before)


def fewer_dimensions(array: str) -> Callable[[Path], object]:
    """The consolidated copy of an array without its last dimension; sound Zarr all the same."""

    def damage(path: Path) -> None:
        root = json.loads((path / "zarr.json").read_text())
        document = root["consolidated_metadata"]["metadata"][array]
        for part in (document["shape"], document["dimension_names"]):
            part.pop()
        document["chunk_grid"]["configuration"]["chunk_shape"].pop()
        (path / "zarr.json").write_text(json.dumps(root, indent=2))

    return damage


def in_root(array: str, old: str, new: str) -> Callable[[Path], object]:
    """One octet wrong in the consolidated copy of an array; its own copy stays sound."""

    def damage(path: Path) -> None:
        root = json.loads((path / "zarr.json").read_text())
        known = root["consolidated_metadata"]["metadata"]
        known[array] = json.loads(json.dumps(known[array]).replace(old, new, 1))
        (path / "zarr.json").write_text(json.dumps(root, indent=2))
        assert old != new

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        in_root("t2m", "blosc", "blo{c"),
        in_root("t2m", "bitshuffle", "bitrhuffle"),
        in_root("t2m", "dimension_names", "dhmension_names"),
        in_root("status", "fill_value", "dill_value"),
        in_root("latitude", '"little"', '"big"'),
        in_root("status", "[72]", "[92]"),
        in_root("source_digest", "[72, 32]", "[72, 33]"),
        in_root("t2m", '"longitude"', '"longitqde"'),
        fewer_dimensions("t2m"),
        fewer_dimensions("source_digest"),
    ],
)
def test_a_wrong_octet_in_the_root_is_mended_from_the_sound_copy(world, damage):
    path = analysis(world)
    before = stored(path)
    damage(path)
    assert verify(world).findings
    assert repair(world, clock=lambda: NOW).lost == ()
    assert stored(path) == before
    assert verify(world).findings == 0


def test_metadata_of_an_archive_without_checksums_is_made_without_them(world):
    """Made before chunks had checksums: new metadata must not ask for them."""
    path = analysis(world)
    values = xr.open_zarr(path, chunks=None).load()
    old = path.with_name("old.zarr")
    shutil.copytree(path, old)
    root = json.loads((path / "zarr.json").read_text())
    for name, document in root["consolidated_metadata"]["metadata"].items():
        document["codecs"] = [one for one in document["codecs"] if one["name"] != "crc32c"]
        (path / name / "zarr.json").write_text(json.dumps(document, indent=2))
        for chunk in (path / name / "c").rglob("*"):
            if chunk.is_file():  # the checksum is the last four octets
                os.truncate(chunk, chunk.stat().st_size - 4)
    (path / "zarr.json").write_text(json.dumps(root, indent=2))
    xr.testing.assert_identical(xr.open_zarr(path, chunks=None).load(), values)
    assert verify(world).findings == 0
    assert ingest(world, clock=lambda: NOW).did_nothing
    for key in ("zarr.json", "t2m/zarr.json"):
        (path / key).unlink()

    assert repair(world, clock=lambda: NOW).lost == ()

    xr.testing.assert_equal(xr.open_zarr(path, chunks=None).load(), values)
    assert verify(world).findings == 0


def test_an_ingest_never_starts_anew_over_an_archive_that_lost_its_root(world, tmp_path):
    path = analysis(world)
    (path / "zarr.json").unlink()
    for day in range(3):  # the source forgets old days
        (tmp_path / "w" / f"day{day}.nc").rename(tmp_path / f"day{day}.nc")
    write_source(tmp_path / "w" / "later.nc", 9)
    before = stored(path)
    with pytest.raises(ArchiveError, match=r"no zarr\.json; `lsntp repair`"):
        ingest(world)
    assert stored(path) == before
    assert repair(world).lost == ()
    assert ingest(world).written == 23
    assert np.isin(AnalysisArchive.open(path).status[:72], [1, 2, 3]).all()


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_after_a_repair_killed_at_any_object_another_one_and_an_ingest_make_all_good(
    world, tmp_path, step
):
    path = analysis(world)
    before = xr.open_zarr(path, chunks=None).load()
    truncate(path / "status/c/0")
    flip(path / "t2m/c/1/0/0")
    in_root("time", "little", "lattle")(path)
    damaged = tmp_path / "damaged"
    shutil.copytree(path, damaged)
    script = Path(__file__).with_name("repair_process.py")
    killed = 0
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "w")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        while True:
            print(killed * step + 1, file=process.stdin, flush=True)
            if process.stdout.readline() != "killed\n":
                break
            killed += 1
            assert repair(world, clock=lambda: NOW).lost == ()
            ingest(world, clock=lambda: NOW)
            after = xr.open_zarr(path, chunks=None).load()
            xr.testing.assert_equal(after, before)
            assert verify(world).findings == 0
            shutil.rmtree(path)
            shutil.copytree(damaged, path)
        process.stdin.close()
    assert killed * step > 18


def test_a_dry_run_says_what_it_would_do_and_changes_nothing(world):
    flip(analysis(world) / "t2m/c/1/0/0")
    before = stored(Workspace.of(world).root)
    report = repair(world, dry_run=True)
    assert len(report.done) == 1
    assert "2019-03-02T00:00Z to 2019-03-02T23:00Z" in report.done[0]
    assert "from the source again" in report.done[0]
    assert stored(Workspace.of(world).root) == before


def test_hours_that_the_source_lost_are_missing_and_not_a_number(world, tmp_path):
    before = AnalysisArchive.open(analysis(world)).status[24:48]
    usable = int(np.isin(before, [Status.PRELIMINARY, Status.FINAL]).sum())
    flip(analysis(world) / "t2m/c/1/0/0")
    (tmp_path / "w" / "day1.nc").unlink()

    report = repair(world)

    (lost,) = report.lost
    assert f"{usable} hours, 2019-03-02T00:00Z to 2019-03-02T23:00Z" in lost
    assert "restore" in lost
    archive = AnalysisArchive.open(analysis(world))
    expected = np.where(before == Status.QUARANTINED, Status.QUARANTINED, Status.MISSING)
    assert usable >= 20
    assert archive.status[24:48].tolist() == expected.tolist()
    day_2 = START + np.arange(24, 48) * hours(1)
    assert np.isnan(archive.read(day_2)).all()
    assert not archive.digests_at(day_2).any()
    assert verify(world).findings == 0
    assert repair(world).did_nothing
    write_source(tmp_path / "w" / "day1.nc", 1)
    assert ingest(world).written > 0


def test_a_lost_status_costs_no_field_even_without_the_source(world, tmp_path):
    path = analysis(world)
    before = xr.open_zarr(path, chunks=None)["t2m"].load()
    was_usable = AnalysisArchive.open(path).status != Status.QUARANTINED
    assert 2 * was_usable.sum() > was_usable.size > was_usable.sum()
    os.truncate(path / "status/c/0", 0)
    for day in range(3):
        (tmp_path / "w" / f"day{day}.nc").rename(tmp_path / f"day{day}.nc")
    write_source(tmp_path / "w" / "later.nc", 9)
    report = repair(world)
    assert report.lost == ()
    xr.testing.assert_equal(
        xr.open_zarr(path, chunks=None)["t2m"].isel(time=slice(0, 72)).load(), before
    )
    status = AnalysisArchive.open(path).status[:72]
    assert (status[was_usable] == Status.PRELIMINARY).all()
    assert (status[~was_usable] == Status.QUARANTINED).all()


def test_an_archive_of_another_domain_is_left_alone(world, tmp_path):
    other = world.model_copy(update={"cadence_h": 3.0})
    before = stored(analysis(world))
    report = repair(other)
    assert report.lost
    assert "give the domain a new name" in report.lost[0]
    assert stored(analysis(world)) == before


def test_a_repair_waits_for_no_writer_for_ever(world, monkeypatch):
    monkeypatch.setattr(verification, "PATIENCE_S", 0.1)
    flip(analysis(world) / "t2m/c/1/0/0")
    before = stored(analysis(world))
    with writer_lease(analysis(world)), pytest.raises(ArchiveBusyError, match="only writer"):
        repair(world)
    assert stored(analysis(world)) == before


def test_damaged_forecasts_and_scores_are_made_again(trained):
    from lsntp.evaluation.scoring import evaluate
    from lsntp.forecasting import forecast

    test = trained.split.test.period
    forecast(trained, models=["persistence"], period=Period(test.start, test.start + hours(30)))
    evaluate(trained)
    workspace = Workspace.of(trained)
    archive, scores = workspace.forecast("persistence"), workspace.evaluation
    forecasts_before, scores_before = stored(archive), stored(scores)
    assert [one.findings for one in verify(trained).archives] == [(), (), ()]
    first = int((test.start - trained.start) / hours(1))
    flip(archive / f"t2m/c/{first + 3}/0/0/0")
    (archive / f"t2m/c/{first + 9}/0/0/0").unlink()
    truncate(archive / "written_leads/c/0")
    truncate(scores / "squared_error_sum/c/0/0/0")
    (scores / "map_error_sum/c/0/0/0/0/0").unlink()

    report = repair(trained)

    assert report.lost == ()
    assert stored(archive) == forecasts_before
    assert stored(scores) == scores_before
    assert repair(trained).did_nothing


def test_what_a_version_lost_is_made_again_by_that_version_or_by_none(trained):
    from lsntp.evaluation.scoring import evaluate
    from lsntp.forecasting import forecast
    from lsntp.training.versions import latest_version

    workspace = Workspace.of(trained)
    version = latest_version(workspace.models, "persistence")
    test = trained.split.test.period
    period = Period(test.start, test.start + hours(4))
    forecast(trained, models=[version.version], period=period)
    path = workspace.forecast(version.version)
    before = stored(path)
    damaged = path / f"t2m/c/{int((test.start - trained.start) / hours(1)) + 1}/0/0/0"
    flip(damaged)

    report = repair(trained)

    assert report.lost == ()
    assert any("1 forecasts made again by that version" in line for line in report.done)
    assert stored(path) == before

    forecast(trained, models=["persistence"], period=period)
    evaluate(trained)
    evaluate(trained, models=[version.version])
    scores = workspace.evaluation
    scored = stored(scores)
    flip(scores / "squared_error_sum/c/1/0/0")
    assert repair(trained).lost == ()
    assert stored(scores) == scored

    flip(scores / "squared_error_sum/c/1/0/0")
    path.rename(path.with_name("aside"))
    (line,) = repair(trained).lost
    assert f"`lsntp forecast {trained.reference} --model {version.version} --from" in line
    path.with_name("aside").rename(path)

    flip(damaged)
    shutil.rmtree(version.path)
    lines = [line for line in repair(trained).lost if "restore that version" in line]
    assert len(lines) > 0
    assert all(f"--model {version.version} --from" in line for line in lines)


def test_forecasts_without_a_model_stay_missing_and_are_named(trained):
    from lsntp.forecasting import forecast

    test = trained.split.test.period
    forecast(trained, models=["persistence"], period=Period(test.start, test.start + hours(4)))
    workspace = Workspace.of(trained)
    path = workspace.forecast("persistence")
    first = int((test.start - trained.start) / hours(1))
    flip(path / f"t2m/c/{first + 1}/0/0/0")
    for version in workspace.models.glob("persistence-*"):
        shutil.rmtree(version)

    report = repair(trained)

    assert any("1 forecasts, 2021-01-12T01:00Z" in line for line in report.lost)
    assert any("lsntp train" in line for line in report.lost)
    archive = ForecastArchive.open(path)
    assert archive.written().size == 3
    assert np.isnan(archive.read(np.array([test.start + hours(1)]))).all()
    assert verify(trained).findings == 0


def test_a_lost_forecast_of_the_champion_is_made_again_by_the_version_that_made_it(trained):
    from lsntp.forecasting import forecast
    from lsntp.training.champion import promote
    from lsntp.training.versions import latest_version

    workspace = Workspace.of(trained)
    old, new = (latest_version(workspace.models, name) for name in ("persistence", "climatology"))
    test = trained.split.test.period
    promote(trained, old.version, by="me", reason="test")
    forecast(trained, models=["champion"], period=Period(test.start, test.start + hours(4)))
    promote(trained, new.version, by="me", reason="test")
    path = workspace.forecast("champion")
    before = stored(path)
    first = int((test.start - trained.start) / hours(1))
    flip(path / f"t2m/c/{first + 1}/0/0/0")

    report = repair(trained)

    assert report.lost == ()
    assert any(f"made again by {old.version}, which made" in line for line in report.done)
    assert stored(path) == before

    flip(path / f"t2m/c/{first + 1}/0/0/0")
    shutil.rmtree(old.path)
    report = repair(trained)
    assert report.lost == ()
    assert any("1 forecasts made again by today's champion" in line for line in report.done)
    lost = np.array([test.start + hours(1)])
    assert ForecastArchive.open(path).model_versions(lost) == [new.version]
