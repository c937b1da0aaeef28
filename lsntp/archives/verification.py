"""Proof that archives are whole: completeness exhaustively, decoding by sample.

Read-only, and safe while a writer is at work: what looks wrong is looked at again, for as long
as somebody holds the writer's lease, and counts only if it is still so.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from lsntp.archives.findings import ArchiveReport, Fault, Finding, Kind, VerifyReport
from lsntp.archives.inspection import Job, Look, Metadata, Snapshot, read_metadata
from lsntp.archives.layout import CADENCE_S, START, Axis
from lsntp.archives.lease import is_being_written
from lsntp.archives.rules import (
    DERIVED,
    REQUIRED,
    SLOT_DIM,
    STATIC,
    Fields,
    check_field,
    static_values,
    survey,
)
from lsntp.config import Domain
from lsntp.errors import ArchiveError, ArchiveNotFoundError, DomainError, LsntpError
from lsntp.names import LATITUDE, LEAD_TIME, LONGITUDE
from lsntp.places import Place, matching
from lsntp.progress import track
from lsntp.times import format_time
from lsntp.workspace import Workspace

SAMPLE: Final = 200
"""Chunks of fields decoded in each archive unless all are asked for."""
PAUSE_S: Final = 0.3
PATIENCE_S: Final = 60.0
"""How long to wait for a writer before what looks half written is called damaged."""

_CURE: Final[dict[Kind, str]] = {
    "analysis": "fetches these hours from the source again",
    "forecast": "makes these forecasts again",
    "evaluation": "scores these frames again",
}


def verify(domain: Domain, *, sample: int | None = SAMPLE, seed: int | None = None) -> VerifyReport:
    """Verify the analysis, forecast and evaluation archives of a domain; changes nothing.

    Args:
        domain: whose archives.
        sample: chunks of fields to decode in each archive, drawn at random; None for all.
        seed: of the draw; another one each time by default.

    Raises:
        ArchiveNotFoundError: if the domain has no archive at all.
    """
    archives = archives_of(domain)
    if not archives:
        raise ArchiveNotFoundError(
            f"Expected archives of {domain.domain} below {Workspace.of(domain).root}, found none; "
            f"run `lsntp ingest {domain.reference}` first, or set the archive root."
        )
    reports = [
        verify_archive(path, kind, domain=domain, sample=sample, seed=seed)
        for kind, path in archives
    ]
    return VerifyReport(tuple(reports))


def archives_of(domain: Domain) -> list[tuple[Kind, Place]]:
    """Every archive of the domain that is there, whole or not."""
    workspace = Workspace.of(domain)
    forecasts = matching(workspace.forecasts, "*.zarr")
    candidates: list[tuple[Kind, Place]] = [
        ("analysis", workspace.analysis),
        *(("forecast", path) for path in forecasts),
        ("evaluation", workspace.evaluation),
    ]
    return [(kind, path) for kind, path in candidates if path.is_dir()]


def verify_archive(
    path: Place,
    kind: Kind,
    *,
    domain: Domain | None = None,
    sample: int | None = None,
    seed: int | None = None,
    patience_s: float | None = None,
) -> ArchiveReport:
    """Verify one archive; see :func:`verify`.

    Args:
        path: the archive.
        kind: what it should hold.
        domain: whose grid, start and cadence it should have; those it declares by default.
        sample: chunks of fields to decode, drawn at random; None for all.
        seed: of the draw.
        patience_s: how long to wait for a writer, :data:`PATIENCE_S` by default; who is the
            writer need not look twice.
    """
    report, look = _look_at(path, kind, domain, sample, seed, None)
    deadline = time.monotonic() + (PATIENCE_S if patience_s is None else patience_s)
    is_sure = False
    while report.findings and not is_sure and time.monotonic() < deadline:
        time.sleep(PAUSE_S)
        jobs = look.decoded if look else None
        is_quiet = not is_being_written(path)
        again, later = _look_at(path, kind, domain, sample, seed, jobs)
        # A look may have seen a half-written state whose writer ended just after it.
        is_quiet = is_quiet and not is_being_written(path)
        is_sure = is_quiet and (look is None) == (later is None)
        if look and later:
            look.agree(later)
            report = _merged(report, again, look)
        else:
            report, look = again, later
    return replace(report, findings=_explained(report.findings, kind, domain, path))


def _merged(report: ArchiveReport, again: ArchiveReport, look: Look) -> ArchiveReport:
    """What both looks found."""
    metadata = {found for found in again.findings if found.fault in _WHOLE_ARCHIVE}
    kept = [found for found in report.findings if found in metadata]
    return replace(report, findings=(*kept, *look.findings()))


_WHOLE_ARCHIVE: Final = (Fault.METADATA, Fault.FOREIGN)


def _look_at(
    path: Place,
    kind: Kind,
    domain: Domain | None,
    sample: int | None,
    seed: int | None,
    only: Collection[Job] | None,
) -> tuple[ArchiveReport, Look | None]:
    """One look; None where the metadata does not say how to read the rest."""
    metadata = read_metadata(path, REQUIRED[kind])
    findings = [*metadata.findings, *_foreign(metadata, domain)]
    axis = _axis(metadata, path)
    if axis is None and metadata.root is not None:
        findings.append(Finding(Fault.METADATA, "", f"no usable {START} and {CADENCE_S}"))
    odd = _odd_dimensions(metadata, kind)
    findings += odd
    absent = REQUIRED[kind].keys() - metadata.arrays.keys()
    is_readable = not odd and all(found.key.count("/") == 1 for found in metadata.findings)
    if axis is None or absent or not is_readable:
        return ArchiveReport(path, kind, 0, 0, 0, tuple(findings)), None
    try:
        snapshot = Snapshot(path, metadata)
    except LsntpError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        findings.append(Finding(Fault.METADATA, "", f"not readable as Zarr ({error})"))
        return ArchiveReport(path, kind, 0, 0, 0, tuple(findings)), None
    look = Look(snapshot)
    for name, values in (static_values(domain, kind) if domain else {}).items():
        if snapshot.arrays.get(name, {}).get("shape") == list(values.shape):
            look.expect_values(name, values)
    for name in set(STATIC) & snapshot.arrays.keys():
        look.expect_chunks(name, look.whole(name).known)
    fields = survey(look, kind, axis)
    for job in _chosen(fields, sample, seed, only, path):
        check_field(look, fields, job)
    chunks = sum(snapshot.has(name, i) for name in snapshot.arrays for i in snapshot.chunks(name))
    slots = snapshot.size(SLOT_DIM[kind])
    decoded = sum(job[0] in snapshot.arrays and snapshot.has(*job) for job in look.decoded)
    found = (*findings, *look.findings())
    return ArchiveReport(path, kind, slots, chunks, decoded, found), look


def _chosen(
    fields: Fields,
    sample: int | None,
    seed: int | None,
    only: Collection[Job] | None,
    path: Place,
) -> Sequence[Job] | Any:
    if only is not None:
        return [job for job in fields.jobs if job in only]
    jobs = fields.jobs
    if sample is not None and sample < len(jobs):
        drawn = np.random.default_rng(seed).choice(len(jobs), sample, replace=False)
        jobs = [jobs[place] for place in sorted(drawn)]
    return track(jobs, f"verify {path.parent.name}/{path.name}")


def _axis(metadata: Metadata, path: Place) -> Axis | None:
    try:
        return Axis.of((metadata.root or {}).get("attributes", {}), path)
    except (ArchiveError, DomainError, ValueError, TypeError):
        return None


def _odd_dimensions(metadata: Metadata, kind: Kind) -> list[Finding]:
    """Arrays whose dimensions are not those of their kind of archive: no use in reading them."""
    found = {name: tuple(doc["dimension_names"]) for name, doc in metadata.arrays.items()}
    return [
        Finding(Fault.METADATA, name, f"dimensions {found[name]}, not {dims}")
        for name, dims in REQUIRED[kind].items()
        if found.get(name, dims) != dims
    ]


def _foreign(metadata: Metadata, domain: Domain | None) -> list[Finding]:
    """Where a whole archive was made for another domain file than the one given."""
    if domain is None or metadata.root is None:
        return []
    wanted = Axis(domain.start, domain.cadence).attrs
    attributes = metadata.root.get("attributes", {})
    findings = [
        Finding(Fault.FOREIGN, "", f"{name} {attributes[name]}, where the domain has {value}")
        for name, value in wanted.items()
        if attributes.get(name, value) != value
    ]
    shapes = {LATITUDE: domain.target_grid.shape[0], LONGITUDE: domain.target_grid.shape[1]}
    shapes[LEAD_TIME] = domain.horizon
    for name, size in shapes.items():
        found = metadata.arrays.get(name, {}).get("shape", [size])
        if found != [size]:
            what = f"{found[0]} values, where the domain has {size}"
            findings.append(Finding(Fault.FOREIGN, name, what))
    return findings


def _explained(
    findings: Sequence[Finding], kind: Kind, domain: Domain | None, path: Place
) -> tuple[Finding, ...]:
    """Each finding with its place in words and its remedy."""
    axis = Axis(domain.start, domain.cadence) if domain else None
    axis = axis or _axis(read_metadata(path, ()), path)
    name = domain.reference if domain else "DOMAIN"
    return tuple(
        replace(found, where=_where(found, kind, axis), remedy=_remedy(found, kind, name))
        for found in findings
    )


def _where(found: Finding, kind: Kind, axis: Axis | None) -> str:
    span = found.along(SLOT_DIM[kind])
    if span is None or axis is None:
        return found.key or found.array or "zarr.json"
    first, last = (
        axis.start + span.start * axis.cadence,
        axis.start + (span.stop - 1) * axis.cadence,
    )
    return format_time(first) + (f" to {format_time(last)}" if last > first else "")


def _remedy(found: Finding, kind: Kind, domain: str) -> str:
    if found.fault == Fault.FOREIGN:
        return "correct the domain file, or give the domain a new name"
    if found.fault == Fault.METADATA:
        return f"`lsntp repair {domain}` rebuilds it from the rest of the archive"
    if found.array in (*STATIC, *DERIVED):
        return f"`lsntp repair {domain}` writes it again from the domain file"
    if kind == "evaluation" and found.array == "model":
        return "remove the evaluation archive and run `lsntp evaluate`: it scores everything again"
    return f"`lsntp repair {domain}` {_CURE[kind]}"
