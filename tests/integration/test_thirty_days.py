"""Thirty simulated days of ticks against an upstream that is late, away, wrong and preliminary.

At the end every hour that is due is there once, and the archive is that of an upstream without
a fault. The source is chosen in :func:`make_domain` and :func:`at`; another one that follows a
simulated clock takes the place of this one there.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.coverage import coverage
from lsntp.config import Domain
from lsntp.errors import SourceUnavailableError
from lsntp.ingest import IngestReport, ingest
from lsntp.names import Status
from lsntp.reconcile import ReconcileReport, reconcile
from lsntp.times import Instant, Period, format_time, hours, parse_time
from lsntp.workspace import Workspace
from tests.integration.simulated_upstream import NAME, PUBLICATIONS, install

CALM = hours(4 * 24)
"""Longer than any field is late and a gap rests: at the end there is nothing left to wait for."""
START = parse_time("2024-02-20")
CONTENT: dict[str, Any] = {
    "domain": "thirty",
    "grid": {"kind": "regular", "north": 50, "south": 45, "west": 0, "east": 10, "spacing": 5},
    "archive": {"start": "2024-02-20"},
    "ingest": {"final_after_days": 12},
    "split": {
        "train": {"start": "2024-02-20", "end": "2024-02-25"},
        "validation": {"start": "2024-02-25", "end": "2024-03-01"},
        "test": {"start": "2024-03-01", "end": "2025-03-01"},
    },
}


@dataclass(frozen=True)
class Case:
    """A service, its step, the hours between two ticks, and the days from the first field on."""

    service: str
    cadence_h: int
    tick_h: int
    days: int

    def __str__(self) -> str:
        return f"{self.service} every {self.tick_h} h for {self.days} days"

    @property
    def end(self) -> Instant:
        end: Instant = START + hours(24 * self.days)
        return end


CASES = [
    Case("era5", 1, 1, 30),
    Case("gfs", 6, 6, 30),
    pytest.param(Case("era5", 1, 12, 366), marks=pytest.mark.slow),
    pytest.param(Case("gfs", 6, 6, 366), marks=pytest.mark.slow),
]


def make_domain(root: Path, case: Case, publication: str) -> Domain:
    options = {
        "clock": str(root / "clock"),
        "publication": publication,
        "calm_from": format_time(case.end - CALM),
    }
    source = {"name": NAME, "options": options}
    changes = {"cadence_h": case.cadence_h, "source": source, "root": str(root / "archives")}
    return Domain.model_validate(CONTENT | changes)


def at(root: Path, now: Instant) -> None:
    """Set the clock that the upstream goes by."""
    root.mkdir(exist_ok=True)
    (root / "clock").write_text(format_time(now))


@dataclass(frozen=True)
class Life:
    """A domain at the end of its days, and what happened on the way.

    Attributes:
        failed: runs that the upstream did not answer.
    """

    domain: Domain
    failed: int
    ingests: Sequence[IngestReport]
    reconciliations: Sequence[ReconcileReport]


def live(domain: Domain, root: Path, case: Case) -> Life:
    """What the schedules do: ingest at every tick, reconcile once a day and on the last."""
    failed = 0
    ingests, reconciliations = [], []
    first = START + PUBLICATIONS[case.service].latency
    for now in np.arange(first, case.end + hours(1), hours(case.tick_h)):
        at(root, now)
        failed += 1
        with contextlib.suppress(SourceUnavailableError):
            ingests.append(ingest(domain, clock=lambda now=now: now))
            failed -= 1
        is_daily = (now - START) % hours(24) < hours(case.tick_h) or now == case.end
        if is_daily and Workspace.of(domain).analysis.exists():
            failed += 1
            with contextlib.suppress(SourceUnavailableError):
                reconciliations.append(reconcile(domain, clock=lambda now=now: now))
                failed -= 1
    return Life(domain, failed, ingests, reconciliations)


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Case]:
    site = tmp_path_factory.mktemp("site")
    install(site)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        yield request.param


@pytest.fixture(scope="module")
def lived(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Life:
    root = tmp_path_factory.mktemp("lived")
    domain = make_domain(root, case, case.service)
    return live(domain, root, case)


@pytest.fixture(scope="module")
def undisturbed(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Domain:
    """One ingest on the last day, from an upstream without a fault."""
    root = tmp_path_factory.mktemp("undisturbed")
    domain = make_domain(root, case, f"undisturbed {case.service}")
    at(root, case.end)
    ingest(domain, period=Period(START, case.end), clock=lambda: case.end)
    return domain


def read(domain: Domain) -> xr.Dataset:
    """The archive without what the clock decides."""
    with xr.open_zarr(Workspace.of(domain).analysis, chunks=None) as dataset:
        return dataset.drop_vars("ingested_at").load()


def test_the_archive_is_that_of_an_upstream_without_a_fault(
    lived: Life, undisturbed: Domain
) -> None:
    xr.testing.assert_identical(read(lived.domain).drop_attrs(), read(undisturbed).drop_attrs())


def test_every_due_step_is_there_once_and_coverage_is_complete(lived: Life, case: Case) -> None:
    due_h = 24 * case.days - int(PUBLICATIONS[case.service].latency / hours(1))
    expected = START + np.arange(0, due_h + 1, case.cadence_h) * hours(1)
    np.testing.assert_array_equal(read(lived.domain)["time"].values, expected)
    archive = AnalysisArchive.open(Workspace.of(lived.domain).analysis)
    period = Period(START, expected[-1] + lived.domain.cadence)
    known = coverage(archive, START, lived.domain.cadence, period)
    assert known.is_complete


def test_steps_are_final_from_their_age_on(lived: Life, case: Case) -> None:
    frames = read(lived.domain)
    is_old = frames["time"].values + PUBLICATIONS[case.service].final_after <= case.end
    expected = np.where(is_old, Status.FINAL, Status.PRELIMINARY)
    np.testing.assert_array_equal(frames["status"].values, expected)


def test_the_days_were_as_bad_as_they_should_be(lived: Life, case: Case) -> None:
    """Or the other tests say nothing: 67 hours of outages, gaps, wrong and replaced fields."""
    assert lived.failed > 67 / case.tick_h
    assert sum(report.absent + report.left for report in lived.ingests) > 0
    assert sum(report.quarantined for report in lived.ingests) > 0
    assert sum(report.conflicts for report in lived.ingests) == 0
    has_preliminary = PUBLICATIONS[case.service].final_after > PUBLICATIONS[case.service].latency
    assert (sum(report.replaced for report in lived.reconciliations) > 0) == has_preliminary
