"""What the commands print: one line per outcome, tables where people compare."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from lsntp.config import Domain
from lsntp.errors import ModelError
from lsntp.names import version_options
from lsntp.times import format_time
from lsntp.workspace import Workspace

if TYPE_CHECKING:
    from lsntp.life_cycle import LifeCycle, Span
    from lsntp.report.steps import Step
    from lsntp.training.champion import Champion

out = Console()
err = Console(stderr=True)

MAX_GAPS = 20
"""Spans without a field that ``lsntp status`` lists, the newest."""
WHY_LENGTH = 120
"""Characters of a reason that are shown."""


JUDGED = {
    "promoted": "is champion now",
    "kept": "is kept, the champion stays",
    "refused": "is refused, the champion stays",
    "postponed": "is not judged yet",
}
"""The gate's verdicts in words."""


def read_champion(domain: Domain) -> "Champion | None":
    """The champion; None before there is one, or where its file is damaged, which is said."""
    from lsntp.training.champion import champion_of, one_line

    try:
        return champion_of(domain)
    except ModelError as error:
        err.print(f"[bold red]no champion:[/] {escape(one_line(error))}", soft_wrap=True)
        return None


def print_status(domain: Domain, hours: "LifeCycle", steps: "Sequence[Step]") -> None:
    """The steps so far, a calendar, the newest gaps, where everything is, what to run next.

    Args:
        domain: the resolved configuration.
        hours: what every expected hour of its analyses is.
        steps: see :func:`lsntp.report.steps.steps_of`.
    """
    workspace = Workspace.of(domain)
    for step in steps:
        _say(f"{step.name.lower():<11} {step.found}")
    if hours.times.size:
        _print_calendar(domain, hours)
    gaps = [span for span in hours.spans() if not span.state.is_usable]
    for span in gaps[-MAX_GAPS:]:
        _say(_gap(span))
    if len(gaps) > MAX_GAPS:
        _say(f"and {len(gaps) - MAX_GAPS} earlier spans without a field; --json lists them all")
    if hours.replaced:
        largest = max(one.largest_change_k for one in hours.replaced)
        _say(
            f"replaced    preliminary hours in {len(hours.replaced)} spans, by {largest:.3g} K "
            "at most"
        )
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
    following = next((step.command for step in steps if not step.is_done), None)
    if following is None and not workspace.report.exists():
        following = f"lsntp report {domain.reference}"
    if following is not None:
        _say(f"next        {following}")


def _gap(span: "Span") -> str:
    """One span without a field: which, what, since when and why."""
    since = "" if np.isnat(span.since) else f" since {format_time(span.since)}"
    why = f": {span.why[:WHY_LENGTH]}" if span.why else ""
    cut = "…" if len(span.why) > WHY_LENGTH else ""
    what = span.state.value.replace("_", " ")
    return f"{format_time(span.start)}..{format_time(span.end)}  {what}{since}{why}{cut}"


def _print_calendar(domain: Domain, hours: "LifeCycle") -> None:
    from flows.hour_calendar import calendar

    drawn = calendar(hours)
    _say(f"Analysis times of {domain.domain}; a letter is {drawn.unit}, the gravest of its times")
    if drawn.earlier:
        _say(f"{drawn.earlier} earlier rows, {drawn.earlier_without_field} times without a field")
    for line in drawn.lines:
        out.print(line, soft_wrap=True)
    out.print(drawn.legend, soft_wrap=True)


def print_ingest(outcome: dict[str, Any]) -> None:
    """What an ingest did, one line."""
    if outcome["did_nothing"]:
        left = f"; {outcome['left']} wait for later runs" if outcome["left"] else ""
        _say(f"ingest: nothing to do, every hour the source has is stored{left}")
        return
    holes = f", {outcome['holes']} holes upstream" if outcome["holes"] else ""
    left = f", {outcome['left']} left for later runs" if outcome["left"] else ""
    _say(
        f"ingest: {outcome['written']} hours written, {outcome['replaced']} replaced, "
        f"{outcome['quarantined']} quarantined, {outcome['absent']} did not come{holes}{left}"
    )


def print_reconcile(outcome: dict[str, Any]) -> None:
    """What a reconciliation did, one line."""
    if outcome["did_nothing"]:
        _say(
            f"reconcile: nothing to do, {outcome['preliminary']} hours are preliminary and none "
            f"of the {outcome['asked']} asked for has become final"
        )
        return
    _say(
        f"reconcile: {outcome['finalised']} hours are final now, {outcome['quarantined']} "
        f"quarantined, largest change {outcome['largest_change_k']:.3g} K"
    )


def print_backfill(outcome: dict[str, Any]) -> None:
    """What a backfill found, and did or would do, one line."""
    found = (
        f"{outcome['period']}: {outcome['already']} of {outcome['expected']} hours are there, "
        f"{outcome['offered']} to fetch in {outcome['pieces']} pieces"
    )
    if outcome["is_dry_run"]:
        size = outcome["stored_bytes"] / 2**20
        _say(f"would backfill {found}, {size:.1f} MiB of fields before compression")
    elif not outcome["offered"]:
        _say(f"backfill: nothing to do, {found}")
    else:
        holes = f", {outcome['holes']} holes upstream" if outcome["holes"] else ""
        _say(
            f"backfill {found}: {outcome['written']} written, {outcome['quarantined']} "
            f"quarantined{holes}, {outcome['without_field']} still without a field"
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
        if not any(entry[count] for count in ("written", "older", "superseded", "waiting")):
            continue
        superseded = (
            f", {entry['superseded']} superseded (inputs final since; --redo-superseded)"
            if entry["superseded"]
            else ""
        )
        waiting = (
            f", {entry['waiting']} wait for the next run (or give --from)"
            if entry["waiting"]
            else ""
        )
        older = f", {entry['older']} of them by an older version" if entry["older"] else ""
        out.print(
            f"forecast: {entry['model']} {entry['written']} written, {entry['already']} already "
            f"there{older}{superseded}, {entry['incomplete']} without a complete history"
            f"{waiting}",
            highlight=False,
            soft_wrap=True,
        )


def print_evaluate(outcome: dict[str, Any]) -> None:
    """One line a model."""
    if outcome["drift"]["is_drifting"]:
        err.print(f"[bold yellow]drift:[/] {outcome['drift']['verdict']}", soft_wrap=True)
    if outcome["did_nothing"]:
        out.print("evaluate: nothing to do, every forecast with a truth is scored")
    for model, counts in outcome["models"].items():
        if counts["superseded"]:
            options = version_options([model])
            _say(
                f"evaluate: {counts['superseded']} forecasts of {model} started from preliminary "
                f"hours that are final now; `lsntp forecast --redo-superseded{options}` makes them "
                "again"
            )
        if outcome["did_nothing"]:
            continue
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
