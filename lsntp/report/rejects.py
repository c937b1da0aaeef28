"""The page about quality: rejected fields with their reasons, and what is still preliminary."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.coverage import Coverage
from lsntp.archives.quarantine import Quarantine, QuarantineEntry
from lsntp.config import Domain
from lsntp.errors import ArchiveError, ArchiveNotFoundError, DomainError
from lsntp.evaluation.table import counted
from lsntp.grid import Floats, Grid
from lsntp.names import LATITUDE, LONGITUDE, TIME, Status
from lsntp.report.calendar import STATUS_LABELS
from lsntp.report.html import QUALITY, NumberTable, render_page
from lsntp.report.maps import Canvas, Frame, Scale, field_image, signed
from lsntp.report.reasons import count_reasons, kind_of
from lsntp.times import Times, format_time
from lsntp.workspace import Workspace

MAX_LISTED = 100
MAX_SHOWN = 6
"""Rejected fields drawn: the newest of each kind of reason, the most frequent kinds first."""
DIGEST_SHOWN = 12


@dataclass(frozen=True)
class RejectedField:
    """A rejected field to draw; NaN where it is not finite."""

    entry: QuarantineEntry
    grid: Grid
    values: Floats


@dataclass(frozen=True)
class Rejects:
    """What the quarantine holds.

    Attributes:
        entries: by time.
        fields: a few of them, read.
        status: what the archive says of each entry's time now.
        fault: why the quarantine could not be read whole; empty if it could.
    """

    entries: tuple[QuarantineEntry, ...]
    fields: tuple[RejectedField, ...]
    status: tuple[Status, ...]
    fault: str


@dataclass(frozen=True)
class FieldView:
    """A rejected field as a map of its own, with its reasons."""

    title: str
    kind: str
    reasons: tuple[str, ...]
    canvas: Canvas
    frame: Frame
    scale: Scale
    coast: str


@dataclass(frozen=True)
class RejectRow:
    """One rejected field as text."""

    time: str
    digest: str
    status: str
    reasons: tuple[str, ...]


def collect_rejects(domain: Domain) -> Rejects:
    """The rejected fields of a domain; a damaged entry is reported, not raised."""
    workspace = Workspace.of(domain)
    try:
        entries = Quarantine(workspace.quarantine).entries()
    except ArchiveError as error:
        return Rejects((), (), (), str(error))
    times = np.array([entry.rejection.time for entry in entries], "datetime64[ns]")
    status = np.zeros(times.size, np.int8)
    try:
        if times.size:
            status = _status_at(AnalysisArchive.open(workspace.analysis), times)
    except ArchiveNotFoundError:
        pass
    fields = [_read(entry) for entry in _telling(entries)]
    return Rejects(
        tuple(entries),
        tuple(field for field in fields if field is not None),
        tuple(Status(int(code)) for code in status),
        "",
    )


def render_quality(domain: Domain, rejects: Rejects, coverage: Coverage | None) -> str:
    """The page; ``coverage`` is that of the whole analysis archive, None before there is one."""
    limits = domain.quality
    drawn = [_view(field, f"coast-{index}") for index, field in enumerate(rejects.fields)]
    return render_page(
        "quality.html",
        QUALITY,
        domain,
        sentence=_sentence(rejects),
        fault=rejects.fault,
        folder=str(Workspace.of(domain).quarantine),
        reasons=NumberTable(
            "Rejected fields by kind of reason; a field may have several",
            ["Reason", "Fields", "First", "Last"],
            [
                [count.kind, str(count.count), format_time(count.first), format_time(count.last)]
                for count in count_reasons(rejects.entries)
            ],
        ),
        fields=drawn,
        rows=_rows(rejects),
        unlisted=max(0, len(rejects.entries) - MAX_LISTED),
        limits=[
            ("Plausible values", f"{limits.minimum_k:g} to {limits.maximum_k:g} K"),
            ("Largest median step", f"{limits.maximum_step_k:g} K between two analyses"),
        ],
        replacing=_replacing(coverage),
        months=_months(coverage) if coverage is not None and coverage.times.size else None,
    )


def _status_at(archive: AnalysisArchive, times: Times) -> npt.NDArray[np.int8]:
    """Status of each time; MISSING for times that are off the archive's axis."""
    offset = times - archive.start
    on_axis = (offset >= np.timedelta64(0, "ns")) & (
        offset % archive.cadence == np.timedelta64(0, "ns")
    )
    status = np.zeros(times.size, np.int8)
    if on_axis.any():
        status[on_axis] = archive.status_at(times[on_axis])
    return status


def _telling(entries: Sequence[QuarantineEntry]) -> list[QuarantineEntry]:
    """The newest entry of each kind of reason, then the newest others."""
    kinds = [count.kind for count in count_reasons(entries)]
    newest = list(reversed(entries))
    first = [next(e for e in newest if kind in map(kind_of, e.rejection.reasons)) for kind in kinds]
    return list({entry.path: entry for entry in [*first, *newest]}.values())[:MAX_SHOWN]


def _read(entry: QuarantineEntry) -> RejectedField | None:
    """The stored field; None where it cannot be drawn, as rejected fields may be anything."""
    try:
        field = entry.field().isel({TIME: 0}).transpose(LATITUDE, LONGITUDE)
        grid = Grid(field[LATITUDE].values, field[LONGITUDE].values)
    except (ArchiveError, ValueError, KeyError, DomainError):
        return None
    values = field.values.astype(np.float64)
    return RejectedField(entry, grid, np.where(np.isfinite(values), values, np.nan))


def _sentence(rejects: Rejects) -> str:
    if not rejects.entries:
        return "No field was ever rejected."
    times = {entry.rejection.time for entry in rejects.entries}
    healed = {
        entry.rejection.time
        for entry, status in zip(rejects.entries, rejects.status, strict=True)
        if status.is_usable
    }
    later = (
        f"; for {len(healed)} of these times the archive holds another, usable field"
        if healed
        else ""
    )
    return (
        f"{counted(len(rejects.entries), 'field')} for {counted(len(times), 'time')} failed a "
        f"quality check and stayed out of the archive{later}."
    )


def _view(field: RejectedField, coast: str) -> FieldView:
    rejection = field.entry.rejection
    finite = field.values[np.isfinite(field.values)]
    scale = Scale.spanning(finite, colormap="viridis", unit="K", two_sided=True)
    broken = field.values.size - finite.size
    span = (
        f"{signed(round(float(finite.min()), 1))} to {signed(round(float(finite.max()), 1))} K"
        if finite.size
        else "no finite value"
    )
    hatched = f", {counted(broken, 'cell')} not finite" if broken else ""
    time = format_time(rejection.time)
    return FieldView(
        title=time,
        kind=kind_of(rejection.reasons[0]) if rejection.reasons else "",
        reasons=rejection.reasons,
        canvas=Canvas.of(field.grid),
        frame=Frame(
            field_image(field.values, field.grid, scale),
            f"Map of the rejected field of {time}: {span}{hatched}.",
        ),
        scale=scale,
        coast=coast,
    )


def _rows(rejects: Rejects) -> list[RejectRow]:
    pairs = list(zip(rejects.entries, rejects.status, strict=True))[::-1][:MAX_LISTED]
    return [
        RejectRow(
            format_time(entry.rejection.time),
            entry.digest[:DIGEST_SHOWN],
            STATUS_LABELS[status],
            (*entry.rejection.reasons, *_release(entry)),
        )
        for entry, status in pairs
    ]


def _release(entry: QuarantineEntry) -> list[str]:
    """Who vouched for it, if somebody did."""
    if entry.release is None:
        return []
    release = entry.release
    return [f"Released {format_time(release.at)} by {release.by}: {release.why}"]


def _replacing(coverage: Coverage | None) -> str:
    if coverage is None or not coverage.times.size:
        return ""
    counts = coverage.counts
    if not counts[Status.PRELIMINARY]:
        return "Every usable field is final."
    first = coverage.times[coverage.status == Status.PRELIMINARY][0]
    return (
        f"{counted(counts[Status.PRELIMINARY], 'field')} of "
        f"{counted(coverage.usable.size, 'usable one')}, from {format_time(first)} on, will be "
        "replaced when the final one arrives; forecasts scored against them are scored again then."
    )


def _months(coverage: Coverage) -> NumberTable:
    """Counts of every status by month, newest first."""
    months = coverage.times.astype("datetime64[M]")
    return NumberTable(
        "Times by month and status, newest first",
        ["Month", *(label for label in STATUS_LABELS.values())],
        [
            [
                str(month),
                *(
                    str(int(np.count_nonzero(coverage.status[months == month] == code)))
                    for code in STATUS_LABELS
                ),
            ]
            for month in np.unique(months)[::-1]
        ],
    )
