"""What the commands print: one line per outcome, tables where people compare."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.coverage import Coverage, coverage
from lsntp.config import Domain
from lsntp.errors import ArchiveNotFoundError
from lsntp.times import Period, format_time, parse_time
from lsntp.workspace import Workspace

if TYPE_CHECKING:
    from lsntp.report.steps import Step

out = Console()
err = Console(stderr=True)

MAX_RUNS = 20
"""Runs of equal status that ``lsntp status`` lists."""


JUDGED = {
    "promoted": "is champion now",
    "kept": "is kept, the champion stays",
    "refused": "is refused, the champion stays",
    "postponed": "is not judged yet",
}
"""The gate's verdicts in words."""


def coverage_of(domain: Domain) -> Coverage:
    """Coverage from archive.start to the end of the archive, or of the split when there is none."""
    try:
        archive = AnalysisArchive.open(Workspace.of(domain).analysis)
    except ArchiveNotFoundError:
        period = Period(domain.start, parse_time(domain.split.test.end))
        return coverage(None, domain.start, domain.cadence, period)
    end = domain.start + max(1, archive.times.size) * domain.cadence
    return coverage(archive, domain.start, domain.cadence, Period(domain.start, end))


def print_status(domain: Domain, known: Coverage, steps: "Sequence[Step]", reference: str) -> None:
    """The steps so far, the newest runs of equal status, where everything is, what to run next.

    Args:
        domain: the resolved configuration.
        known: coverage of its analyses.
        steps: see :func:`lsntp.report.steps.steps_of`.
        reference: what was typed for the domain, for commands to copy.
    """
    workspace = Workspace.of(domain)
    for step in steps:
        _say(f"{step.name.lower():<11} {step.found}")
    runs = known.runs()
    table = Table("from", "until", "status", title=f"Analysis times of {domain.domain}")
    for run in runs[-MAX_RUNS:]:
        table.add_row(format_time(run.start), format_time(run.end), run.status.name.lower())
    out.print(table)
    if len(runs) > MAX_RUNS:
        _say(f"and {len(runs) - MAX_RUNS} earlier spans; the report's page Coverage lists them")
    paths = {
        "analysis": workspace.analysis,
        "quarantine": workspace.quarantine,
        "models": workspace.models,
        "forecasts": workspace.forecasts,
        "evaluation": workspace.evaluation,
        "report": workspace.report,
    }
    for label, path in paths.items():
        state = "" if path.exists() else "  (not there yet)"
        _say(f"{label:<11} {path}{state}")
    following = next((step.verb for step in steps if not step.is_done), None)
    if following is None and not workspace.report.exists():
        following = "report"
    if following is not None:
        _say(f"next        lsntp {following} {reference}")


def print_ingest(outcome: dict[str, Any]) -> None:
    """What an ingest did, one line."""
    if outcome["did_nothing"]:
        out.print("ingest: nothing to do, every hour the source has is stored")
        return
    out.print(
        f"ingest: {outcome['written']} hours written, {outcome['replaced']} replaced, "
        f"{outcome['quarantined']} quarantined, {outcome['absent']} not in the source"
    )


def print_train(outcome: dict[str, list[dict[str, Any]]]) -> None:
    """One line a model version, then the gate's judgements."""
    for entry in outcome["versions"]:
        did = f"fitted in {entry['seconds']:g} s" if entry["created"] else "already fitted"
        out.print(f"train: {entry['version']} {did}", highlight=False)
    print_gate(outcome["gate"])


def print_gate(judgements: list[dict[str, Any]]) -> None:
    """One line a judgement; of the contest for the first champion only the winner's."""
    if not judgements:
        _say("gate: nothing to do, every version was judged before")
    for entry in judgements:
        if entry["rule"] == "first champion" and entry["verdict"] == "kept":
            continue
        _say(
            f"gate: {entry['candidate']} {JUDGED[entry['verdict']]}{_again(entry)}. "
            f"{entry['reason']}"
        )


def _again(entry: dict[str, Any]) -> str:
    return "" if entry["is_new"] else ", as decided before"


def print_forecast(outcome: list[dict[str, Any]]) -> None:
    """One line a model; forecasts of an older version stay as they were made."""
    if not any(entry["written"] for entry in outcome):
        out.print("forecast: nothing to do, every initial time has its forecast")
    for entry in outcome:
        if not entry["written"] and not entry["older"]:
            continue
        older = f", {entry['older']} of them by an older version" if entry["older"] else ""
        out.print(
            f"forecast: {entry['model']} {entry['written']} written, {entry['already']} already "
            f"there{older}, {entry['incomplete']} without a complete history",
            highlight=False,
            soft_wrap=True,
        )


def print_evaluate(outcome: dict[str, Any]) -> None:
    """One line a model."""
    if outcome["drift"]["is_drifting"]:
        err.print(f"[bold yellow]drift:[/] {outcome['drift']['verdict']}", soft_wrap=True)
    if outcome["did_nothing"]:
        out.print("evaluate: nothing to do, every forecast with a truth is scored")
        return
    for model, counts in outcome["models"].items():
        dropped = f", {counts['dropped']} taken back" if counts["dropped"] else ""
        out.print(
            f"evaluate: {model} {counts['scored']} scored, {counts['already']} already there, "
            f"{counts['waiting']} waiting for truth{dropped}",
            highlight=False,
            soft_wrap=True,
        )


def print_skill(domain: Domain) -> None:
    """The skill table and its verdict."""
    from lsntp.evaluation.skill import render_table, skill_table

    table = skill_table(domain)
    out.print(render_table(table))
    out.print(table.verdict)


def _say(text: str) -> None:
    out.print(text, highlight=False, soft_wrap=True, markup=False)
