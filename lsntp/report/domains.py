"""The index over all domains below one archive root."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.coverage import Coverage
from lsntp.archives.forecast import ForecastArchive
from lsntp.archives.lease import writer_lease
from lsntp.errors import ArchiveNotFoundError
from lsntp.names import VERSION_PATTERN
from lsntp.places import Place, matching
from lsntp.report.html import INDEX, render
from lsntp.report.publish import publish
from lsntp.times import format_time
from lsntp.workspace import Workspace

T = TypeVar("T")
SUMMARY = "summary.json"
"""Lies beside the pages of a report: what the index says about it."""


@dataclass(frozen=True)
class Summary:
    """What a report says about its domain in a few words.

    Attributes:
        domain: its name.
        description: of the domain file.
        is_synthetic: whether its fields are made up.
        headline: who forecasts best, and how well; or what is not there yet.
    """

    domain: str
    description: str
    is_synthetic: bool
    headline: str

    def to_json(self) -> str:
        """As it is stored."""
        return json.dumps(asdict(self), indent=2) + "\n"


@dataclass(frozen=True)
class Entry:
    """One domain of the index; what could not be found out is in ``faults``."""

    domain: str
    summary: Summary | None
    last_analysis: str
    last_forecast: str
    faults: list[str]

    @property
    def link(self) -> str:
        """From the index to its report; empty where there is none."""
        return f"{self.domain}/{INDEX.file}" if self.summary else ""


def refresh_index(root: Place, work_root: Path | None = None) -> Path:
    """Write the index over all domains below an archive root, in one step.

    Raises:
        ArchiveBusyError: if another process writes it.
        StorageError: if it cannot be written; an older one stays.
    """
    any_domain = Workspace(root, "any", work_root)
    with writer_lease(any_domain.work.with_name("reports")):
        index = any_domain.report.parent.with_name(INDEX.file)
        return publish(render_index(list_domains(root, work_root)), index)


def list_domains(root: Place, work_root: Path | None = None) -> list[Entry]:
    """Every domain that has an analysis archive, forecasts or a report below ``root``.

    A damaged one is listed with what is wrong.
    """
    names = {path.name.removesuffix(".zarr") for path in matching(root / "analysis", "*.zarr")}
    reports = Workspace(root, "any", work_root).report.parent.parent
    for folder in (root / "forecasts", reports):
        names |= {path.name for path in matching(folder, "*") if path.is_dir()}
    workspaces = [Workspace(root, name, work_root) for name in sorted(names)]
    return [_entry(one) for one in workspaces if not one.domain.startswith(".")]


def render_index(entries: list[Entry]) -> str:
    """The index as HTML; the same entries give the same bytes."""
    return render("domains.html", entries=entries)


def _entry(workspace: Workspace) -> Entry:
    faults = list[str]()

    def attempt(what: str, make: Callable[[], T], otherwise: T) -> T:
        try:
            return make()
        except ArchiveNotFoundError:
            return otherwise
        except Exception as error:  # whatever is damaged, the other domains must be listed
            faults.append(f"{what}: {error or type(error).__name__}")
            return otherwise

    return Entry(
        domain=workspace.domain,
        summary=attempt("Report", lambda: _summary(workspace), None),
        last_analysis=attempt("Analyses", lambda: _last_analysis(workspace), "none yet"),
        last_forecast=attempt("Forecasts", lambda: _last_forecast(workspace), "none yet"),
        faults=faults,
    )


def _summary(workspace: Workspace) -> Summary | None:
    path = workspace.report.with_name(SUMMARY)
    if not path.exists():
        return None
    return Summary(**json.loads(path.read_text("utf-8")))


def _last_analysis(workspace: Workspace) -> str:
    archive = AnalysisArchive.open(workspace.analysis)
    usable = Coverage(archive.times, archive.status, archive.cadence).usable
    return format_time(usable[-1]) if usable.size else "none yet"


def _last_forecast(workspace: Workspace) -> str:
    """The newest initial time of any model, and whose it is where not all have it.

    Versions with archives of their own forecast the days that they were compared on, and no more.
    """
    newest = {}
    for path in matching(workspace.forecasts, "*.zarr"):
        if VERSION_PATTERN.fullmatch(path.stem):
            continue
        written = ForecastArchive.open(path).written()
        if written.size:
            newest[path.name.removesuffix(".zarr")] = written[-1]
    if not newest:
        return "none yet"
    last = max(newest.values())
    behind = [name for name, time in newest.items() if time < last]
    late = f"; {', '.join(behind)} end earlier" if behind else ""
    return f"from {format_time(last)}{late}"
