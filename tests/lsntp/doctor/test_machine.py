"""What the doctor says of this machine."""

import fcntl
import sys

import numpy as np
import pytest

from lsntp.doctor import machine
from lsntp.doctor.check import Health
from lsntp.doctor.machine import (
    check_clock,
    check_packages,
    check_python,
    check_room,
    check_storage,
)
from lsntp.workspace import Workspace


def install(site, requirement):
    """A package with one requirement, as installed in ``site``."""
    folder = site / "sample-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: sample\nVersion: 1.0\nRequires-Dist: {requirement}\n"
    )


def test_this_python_is_new_enough_and_an_older_one_is_not(monkeypatch):
    assert check_python().health == Health.OK
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    check = check_python()
    assert (check.health, check.found) == (Health.FAILED, "3.10.4")


def test_the_packages_of_this_environment_are_those_that_are_needed():
    check = check_packages()
    assert check.health == Health.OK, check
    assert "sqlalchemy 2.0" in check.found


@pytest.mark.parametrize(
    ("requirement", "found"),
    [("numpy<1", f"numpy<1, found {np.__version__}"), ("no-such-package>=2", "found none")],
)
def test_a_package_in_a_wrong_version_is_named(tmp_path, monkeypatch, requirement, found):
    install(tmp_path, requirement)
    monkeypatch.syspath_prepend(tmp_path)
    check = check_packages("sample")
    assert check.health == Health.FAILED
    assert found in check.found
    assert "constraints.txt" in check.remedy


def test_what_an_extra_needs_is_not_needed(tmp_path, monkeypatch):
    install(tmp_path, 'no-such-package>=2; extra == "dev"')
    monkeypatch.syspath_prepend(tmp_path)
    assert check_packages("sample").health == Health.OK


def test_without_an_installation_there_is_nothing_to_go_by():
    assert check_packages("never-installed").health == Health.SKIPPED


def test_a_root_that_can_be_written_and_locked_passes_and_is_left_as_it_was(tmp_path):
    assert check_storage(tmp_path).health == Health.OK
    check = check_storage(tmp_path / "not" / "yet")
    assert (check.health, "not there yet" in check.found) == (Health.OK, True)
    assert list(tmp_path.iterdir()) == []


def test_a_root_below_a_file_fails_with_the_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    check = check_storage(tmp_path / "file" / "root")
    assert (check.health, "LSNTP_ROOT" in check.remedy) == (Health.FAILED, True)


def test_locks_that_lock_nothing_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    check = check_storage(tmp_path)
    assert (check.health, "second lock" in check.found) == (Health.FAILED, True)


def test_a_disk_without_room_fails(tmp_path):
    assert check_room(tmp_path, 1).health == Health.OK
    check = check_room(tmp_path / "not yet", 2**60)
    assert (check.health, "make room" in check.remedy) == (Health.FAILED, True)


@pytest.mark.parametrize(("ahead_s", "way"), [(3600.0, "behind"), (-3600.0, "ahead of")])
def test_a_clock_an_hour_off_is_found_by_whoever_answered(ahead_s, way):
    assert check_clock({}).health == Health.OK
    assert check_clock({"cds": 3.0}).found.endswith("agrees with cds")
    check = check_clock({"s3": 0.0, "cds": ahead_s})
    assert check.health == Health.FAILED
    assert f"3600 s {way} it" in check.found


def test_a_clock_that_was_set_back_is_found_by_the_archive(tmp_path, monkeypatch):
    from tests.lsntp.ingest_files import NOW, make_domain, run, weather, write

    write(tmp_path / "a.nc", weather())
    domain = make_domain(tmp_path)
    run(domain)
    assert check_clock({}, domain).health == Health.OK
    monkeypatch.setattr(machine, "FIRST_CREDIBLE", np.datetime64("2019-01-01", "ns"))
    monkeypatch.setattr(machine, "utc_now", lambda: NOW - np.timedelta64(1, "D"))
    check = check_clock({}, domain)
    assert (check.health, "2019-05-01T12:00Z" in check.found) == (Health.FAILED, True)


@pytest.mark.parametrize("damaged", ["zarr.json", "ingested_at/c/0"])
def test_an_archive_that_cannot_be_read_says_nothing_of_the_clock(tmp_path, damaged):
    from tests.lsntp.ingest_files import make_domain, run, weather, write

    write(tmp_path / "a.nc", weather())
    domain = make_domain(tmp_path)
    run(domain)
    file = Workspace.of(domain).analysis / damaged
    file.write_bytes(file.read_bytes()[:-9])
    assert check_clock({}, domain).health == Health.OK


def test_a_bucket_that_refuses_says_nothing_of_the_clock(archive_bucket, tmp_path):
    from tests.lsntp.ingest_files import make_domain

    archive_bucket.fail("GET", ".", 403, "InvalidAccessKeyId", times=1000)
    domain = make_domain(tmp_path, root=f"s3://{archive_bucket.bucket}/archives")
    assert check_clock({}, domain).health == Health.OK


def test_a_clock_that_was_never_set_is_found(monkeypatch):
    monkeypatch.setattr(machine, "utc_now", lambda: np.datetime64(0, "ns"))
    assert check_clock({}).health == Health.FAILED
