import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from distributed import LocalCluster

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.lease import writer_lease
from lsntp.config import DaskConfig
from lsntp.errors import (
    ArchiveBusyError,
    ArchiveError,
    ArchiveNotFoundError,
    DomainError,
    StorageError,
    TrainingDataError,
)
from lsntp.names import Status
from lsntp.times import hours
from lsntp.training_data import archive as module
from lsntp.training_data.archive import build_training_archive, open_training_archive


def tree(folder):
    """Every file below a folder with its time of change and content."""
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "training" / "tiny"


def test_a_reopened_archive_has_the_same_statistics_to_the_bit(domain, archive, folder):
    built = build_training_archive(domain, archive, folder, "standard")
    again = open_training_archive(built.path)
    assert again.statistics.to_dict() == built.statistics.to_dict()
    np.testing.assert_array_equal(
        again.statistics.climatology.coefficients, built.statistics.climatology.coefficients
    )
    assert (again.digest, again.scaling) == (built.digest, "standard")
    assert again.path.name == f"{again.digest}.zarr"
    assert again.grid.matches(archive.grid)


def test_an_unchanged_input_is_not_rebuilt(domain, archive, folder):
    built = build_training_archive(domain, archive, folder, "standard")
    before = tree(folder)
    again = build_training_archive(domain, archive, folder, "standard")
    assert again.path == built.path
    assert tree(folder) == before


@pytest.mark.parametrize("index", [0, 100, 24 * 15 - 1])
def test_a_changed_hour_gives_a_new_archive_beside_the_old(domain, archive, folder, index):
    built = build_training_archive(domain, archive, folder, "standard")
    before = tree(built.path)
    archive.fields[index] += 1
    again = build_training_archive(domain, archive, folder, "standard")
    assert again.digest != built.digest
    assert tree(built.path) == before


def test_a_preliminary_hour_becoming_final_as_it_was_gives_a_new_archive(domain, archive, folder):
    archive.status[7] = Status.PRELIMINARY
    built = build_training_archive(domain, archive, folder, "standard")
    archive.status[7] = Status.FINAL
    again = build_training_archive(domain, archive, folder, "standard")
    assert again.digest != built.digest
    assert xr.open_zarr(again.path, chunks=None)["status"].values[7] == Status.FINAL


def test_new_hours_of_the_test_block_change_nothing(domain, make_archive, folder):
    built = build_training_archive(domain, make_archive(24 * 15), folder, "standard")
    longer = make_archive(24 * 20)
    longer.fields[: 24 * 15] = make_archive(24 * 15).fields
    assert build_training_archive(domain, longer, folder, "standard").path == built.path


def test_a_longer_validation_block_gives_a_new_archive(domain, make_archive, folder):
    analysis = make_archive(24 * 15)
    shorter = make_archive(24 * 14)
    shorter.fields[:] = analysis.fields[: 24 * 14]
    first = build_training_archive(domain, shorter, folder, "standard")
    assert first.times.size == 24 * 14
    assert build_training_archive(domain, analysis, folder, "standard").digest != first.digest


def test_every_setting_that_matters_changes_the_digest(make_domain, archive, folder):
    domains = [
        make_domain(),
        make_domain(history=4),
        make_domain(horizon=3),
        make_domain(train=("2021-01-02", "2021-01-11")),
        make_domain(validation=("2021-01-11", "2021-01-15")),
        make_domain(validation=("2021-01-12", "2021-01-16")),
    ]
    digests = {build_training_archive(d, archive, folder, "standard").digest for d in domains}
    digests.add(build_training_archive(make_domain(), archive, folder, "min-max-01").digest)
    assert len(digests) == len(domains) + 1


def test_what_does_not_matter_leaves_the_digest(make_domain, archive, folder):
    digests = {
        build_training_archive(d, archive, folder, "standard").digest
        for d in (
            make_domain(),
            make_domain(description="other words"),
            make_domain(test=("2021-01-17", "2021-01-20")),
            make_domain(ridge_penalty=2.0),
        )
    }
    assert len(digests) == 1


# --- faults --------------------------------------------------------------------------------


def full_disk(self, path, **settings):
    path.mkdir()
    (path / "zarr.json").write_text("{}")
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


def test_a_failed_write_leaves_nothing_and_the_next_run_completes(
    domain, archive, folder, monkeypatch
):
    built = build_training_archive(domain, archive, folder, "min-max-01")
    before = tree(folder)
    with monkeypatch.context() as patch:
        patch.setattr("xarray.Dataset.to_zarr", full_disk)
        with pytest.raises(StorageError, match="free space"):
            build_training_archive(domain, archive, folder, "standard")
    assert tree(folder) == before
    assert build_training_archive(domain, archive, folder, "standard").path != built.path


def test_a_folder_that_cannot_be_written_is_a_storage_error(domain, archive, tmp_path):
    (tmp_path / "training").write_text("a file, not a folder")
    with pytest.raises(StorageError, match="training"):
        build_training_archive(domain, archive, tmp_path / "training" / "tiny", "standard")


KILLED_BUILD = """
import os, sys
sys.path.insert(0, sys.argv[1])
import conftest, xarray
from pathlib import Path
from lsntp.training_data.archive import build_training_archive
plain = xarray.Dataset.to_zarr
def die(self, path, **settings):
    plain(self, path, **settings)
    os.kill(os.getpid(), 9)
xarray.Dataset.to_zarr = die
build_training_archive(conftest._domain(), conftest._archive(), Path(sys.argv[2]), "standard")
"""


def test_a_killed_build_is_swept_and_completed(domain, archive, folder, tmp_path):
    here = str(Path(__file__).parent)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_BUILD, here, str(folder)], capture_output=True, check=False
    )
    assert killed.returncode == -9, killed.stderr.decode()
    assert [path.suffix[:9] for path in folder.iterdir()] == [".partial-"]
    built = build_training_archive(domain, archive, folder, "standard")
    assert list(folder.iterdir()) == [built.path]


def test_a_leftover_of_a_process_with_the_same_id_is_no_obstacle(domain, archive, folder):
    built = build_training_archive(domain, archive, folder, "standard")
    built.path.rename(f"{built.path}.partial-{os.getpid()}")
    again = build_training_archive(domain, archive, folder, "standard")
    assert list(folder.iterdir()) == [again.path]


def test_a_builder_that_waited_takes_what_the_other_built(domain, archive, folder, monkeypatch):
    built = build_training_archive(domain, archive, folder, "standard")
    before, hidden = tree(built.path), folder / "hidden"
    built.path.rename(hidden)

    @contextlib.contextmanager
    def lease_after_another_build(path):
        hidden.rename(built.path)
        yield

    monkeypatch.setattr(module, "writer_lease", lease_after_another_build)
    again = build_training_archive(domain, archive, folder, "standard")
    assert tree(again.path) == before


def test_two_builders_take_turns(domain, archive, folder, monkeypatch):
    monkeypatch.setattr(module, "writer_lease", lambda path: writer_lease(path, timeout_s=0.1))
    with writer_lease(folder), pytest.raises(ArchiveBusyError, match="only writer"):
        build_training_archive(domain, archive, folder, "standard")
    assert not list(folder.glob("*.zarr*"))


def test_a_publish_during_the_build_is_noticed(domain, archive, folder, monkeypatch):
    plain = xr.Dataset.to_zarr

    def publish_meanwhile(self, path, **settings):
        archive.fields[30] += 1
        return plain(self, path, **settings)

    monkeypatch.setattr(xr.Dataset, "to_zarr", publish_meanwhile)
    with pytest.raises(ArchiveBusyError, match="a publish changed some"):
        build_training_archive(domain, archive, folder, "standard")
    assert not list(folder.iterdir())


def test_too_short_a_period_builds_nothing(make_domain, archive, folder):
    domain = make_domain(train=("2021-01-01", "2021-01-01T04:00"))
    with pytest.raises(TrainingDataError, match="at least 5 usable times"):
        build_training_archive(domain, archive, folder, "standard")
    assert not folder.exists()


def test_a_training_period_without_every_hour_of_day_builds_nothing(make_domain, archive, folder):
    domain = make_domain(train=("2021-01-01", "2021-01-01T20:00"))
    with pytest.raises(TrainingDataError, match="none at 20, 21, 22, 23 UTC"):
        build_training_archive(domain, archive, folder, "standard")
    assert not list(folder.glob("*.zarr*"))


def test_an_empty_or_all_missing_archive_builds_nothing(domain, make_archive, folder):
    for analysis in (make_archive(0), make_archive().lose(*range(480))):
        with pytest.raises(TrainingDataError, match="found 0 in a row"):
            build_training_archive(domain, analysis, folder, "standard")
    assert not folder.exists()


def test_an_archive_of_another_grid_or_cadence_is_refused(domain, make_archive, folder):
    with pytest.raises(DomainError, match=r"2 x 3 cells.*found 4 x 3 cells"):
        build_training_archive(domain, make_archive(rows=4), folder, "standard")
    with pytest.raises(DomainError, match=r"every 1 h.*every 6 h"):
        build_training_archive(domain, make_archive(cadence_h=6), folder, "standard")


def test_opening_what_is_not_there_says_what_to_run(tmp_path):
    with pytest.raises(ArchiveNotFoundError, match="lsntp prepare"):
        open_training_archive(tmp_path / "0.zarr")


@pytest.mark.parametrize("lost", ["zarr.json", "climatology_coefficients/c", "time"])
def test_a_damaged_archive_is_refused(domain, archive, folder, lost):
    built = build_training_archive(domain, archive, folder, "standard")
    (built.path / lost).rename(folder / "lost")
    with pytest.raises(ArchiveError, match="damaged"):
        open_training_archive(built.path)


# --- the real analysis archive -------------------------------------------------------------


def publish(analysis, path, domain, chosen):
    stored = AnalysisArchive.create(
        path, grid=domain.target_grid, start=domain.start, cadence=domain.cadence, attrs={}
    )
    times = analysis.times[chosen]
    stored.publish(
        xr.Dataset(
            {
                "t2m": (("time", "latitude", "longitude"), analysis.read(times)),
                "status": ("time", analysis.status_at(times)),
                "source_digest": (("time", "digest_byte"), analysis.digests_at(times)),
            },
            {
                "time": times,
                "latitude": analysis.grid.latitude,
                "longitude": analysis.grid.longitude,
            },
        )
    )
    return stored


def test_the_stored_analysis_archive_gives_the_same_as_one_in_memory(
    domain, make_archive, tmp_path
):
    chosen = np.delete(np.arange(24 * 20), [7, 8, 300])
    stored = publish(make_archive(), tmp_path / "analysis.zarr", domain, chosen)
    from_disk = build_training_archive(domain, stored, tmp_path / "disk", "min-max-01")
    in_memory = make_archive().lose(7, 8, 300)
    from_memory = build_training_archive(domain, in_memory, tmp_path / "memory", "min-max-01")
    assert from_disk.digest == from_memory.digest
    with (
        xr.open_zarr(from_disk.path, chunks=None) as one,
        xr.open_zarr(from_memory.path, chunks=None) as other,
    ):
        xr.testing.assert_identical(one.load(), other.load())


def test_a_final_hour_in_place_of_a_preliminary_one_gives_a_new_archive(
    domain, make_archive, tmp_path
):
    analysis, path, folder = make_archive(), tmp_path / "analysis.zarr", tmp_path / "training"
    analysis.status[200] = Status.PRELIMINARY
    stored = publish(analysis, path, domain, np.arange(480))
    first = build_training_archive(domain, stored, folder, "standard")
    analysis.status[200] = Status.FINAL
    analysis.fields[200] += 0.5
    stored = publish(analysis, path, domain, np.array([200]))
    second = build_training_archive(domain, stored, folder, "standard")
    assert first.digest != second.digest
    assert second.times.size == hours(24 * 15) / domain.cadence


def test_a_dask_cluster_makes_the_same_training_data(domain, archive, folder, tmp_path):
    local = build_training_archive(domain, archive, folder, "standard")
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster:
        elsewhere = domain.model_copy(
            update={"dask": DaskConfig(cluster=cluster.scheduler_address)}
        )
        other = build_training_archive(elsewhere, archive, tmp_path / "other", "standard")
    assert other.digest == local.digest
    np.testing.assert_array_equal(other.read(0, 360), local.read(0, 360))
