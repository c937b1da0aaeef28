"""A domain's report: all its pages, made from the archives and published together."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lsntp.archives.lease import writer_lease
from lsntp.config import Domain
from lsntp.errors import ArchiveNotFoundError, EvaluationError
from lsntp.evaluation.skill import skill_table
from lsntp.evaluation.table import SkillTable
from lsntp.life_cycle import life_cycle
from lsntp.report import page
from lsntp.report.breakdown import collect_breakdown, render_skill
from lsntp.report.collect import collect
from lsntp.report.domains import SUMMARY, Summary, refresh_index
from lsntp.report.history import collect_histories, render_models
from lsntp.report.holdings import collect_coverage, collect_holdings, render_coverage
from lsntp.report.html import COVERAGE, INDEX, MODELS, QUALITY, REPORT_ID, SKILL, WORST
from lsntp.report.publish import publish_pages
from lsntp.report.rejects import collect_rejects, render_quality
from lsntp.report.scores import sentences, with_true_minus
from lsntp.report.steps import render_steps, steps_of
from lsntp.report.through_time import collect_trends
from lsntp.report.uncertainty import collect_uncertainty
from lsntp.report.worst import collect_worst, render_worst
from lsntp.workspace import Workspace

T = TypeVar("T")


def write_report(domain: Domain) -> Path:
    """Write the report of a domain and say where its first page is.

    An older report is replaced in one step, and the index over all domains of the archive root
    refreshed. Pages about what is not there yet say what to run.

    Raises:
        ArchiveError: if an archive is damaged; an older report stays.
        ArchiveBusyError: if another process writes this report.
        StorageError: if the pages cannot be written; an older report stays.
    """
    workspace = Workspace.of(domain)
    with writer_lease(workspace.work / "report"):
        publish_pages(render_pages(domain), workspace.report.parent)
    refresh_index(workspace.root, workspace.work_root)
    return workspace.report


def render_pages(domain: Domain) -> dict[str, str]:
    """Every file of the report by name, each page with the identity of all of them."""
    table, nothing = _attempt(lambda: skill_table(domain))
    coverage = collect_coverage(domain)
    first, why = _first_page(domain, table, nothing)
    breakdown, breakdown_note = _of(table, nothing, lambda t: collect_breakdown(domain, t))
    sure, sure_note = _of(table, nothing, lambda t: collect_uncertainty(domain, t))
    trends, trends_note = _of(table, nothing, lambda t: collect_trends(domain, t))
    cases, cases_note = _of(table, nothing, lambda t: collect_worst(domain, t))
    pages = {
        INDEX.file: first,
        SKILL.file: render_skill(domain, breakdown, breakdown_note, sure, sure_note),
        MODELS.file: render_models(domain, collect_histories(domain), trends, trends_note),
        WORST.file: render_worst(domain, table, cases or [], cases_note),
        QUALITY.file: render_quality(domain, collect_rejects(domain), coverage),
        COVERAGE.file: render_coverage(
            domain, coverage, collect_holdings(domain), life_cycle(domain)
        ),
        SUMMARY: _summary(domain, table, why).to_json(),
    }
    identity = hashlib.sha256("".join(pages.values()).encode()).hexdigest()[:16]
    return {name: content.replace(REPORT_ID, identity) for name, content in pages.items()}


def _first_page(domain: Domain, table: SkillTable | None, note: str) -> tuple[str, str]:
    """The page, and why it holds no comparison (empty if it does)."""
    data, why = _of(table, note, lambda t: collect(domain, t))
    if data is None:
        return render_steps(domain, steps_of(domain), why), why
    return page.render(data), ""


def _summary(domain: Domain, table: SkillTable | None, why: str) -> Summary:
    headline = (
        with_true_minus(sentences(table.verdict)[0]) if table and not why else "Not scored yet."
    )
    return Summary(domain.domain, domain.description, domain.is_synthetic, headline)


def _of(
    table: SkillTable | None, note: str, make: Callable[[SkillTable], T]
) -> tuple[T | None, str]:
    """What is made of a comparison; nothing, with the reason, where there is none."""
    return (None, note) if table is None else _attempt(lambda: make(table))


def _attempt(make: Callable[[], T]) -> tuple[T | None, str]:
    """What is made, or nothing and what to run, where something is not there yet."""
    try:
        return make(), ""
    except (EvaluationError, ArchiveNotFoundError) as error:
        return None, str(error)
