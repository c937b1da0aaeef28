from pathlib import Path

import pytest

from lsntp.config import load_domain
from lsntp.sources import Source, Upstream, open_source
from lsntp.times import Period, parse_time

EVER = Period.parse("1900-01-01", "2100-01-01")


def test_the_demo_domain_is_synthetic_from_its_start_to_the_end_of_its_test() -> None:
    domain = load_domain("demo")
    source: Source = open_source(domain)
    times = source.available(EVER)
    assert source.is_synthetic
    assert source.name == "synthetic"
    assert times[0] == parse_time("2024-01-01")
    assert times[-1] == parse_time("2024-03-10T23")
    (frames,) = source.fetch(times[:1], domain.target_grid)
    assert frames.longitude.values[1] - frames.longitude.values[0] == 0.5


def test_a_live_synthetic_source_goes_on_to_the_present_hour() -> None:
    domain = load_domain("demo", overrides={"source.live": "true"})
    for now, newest in (
        ("2024-02-01T00:30", "2024-03-10T23"),  # never less than its test block
        ("2026-11-25T21:45", "2026-11-25T21"),
        ("2026-11-25T22:00", "2026-11-25T21"),
    ):
        source = open_source(domain, clock=lambda now=now: parse_time(now))  # type: ignore[misc]
        assert source.available(EVER)[-1] == parse_time(newest)


def test_the_files_of_a_domain_are_asked_on_its_own_axis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LSNTP_DATA", str(tmp_path))
    domain = load_domain("era5-uk")
    source: Source = open_source(domain)
    assert not source.is_synthetic
    assert source.name == "files"


def test_the_gfs_domain_asks_the_public_bucket_for_the_runs_that_are_due() -> None:
    domain = load_domain("gfs-6hourly")
    source = open_source(domain, clock=lambda: parse_time("2026-11-25T21:45"))
    assert source.name == "gfs"
    assert isinstance(source, Upstream)
    times = source.available(EVER)
    assert times[0] == parse_time("2021-01-01")
    assert times[-1] == parse_time("2026-11-25T18")
    assert "work/gfs-6hourly" in str(source._folder)
