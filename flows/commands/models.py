"""Commands about model versions: look at them, compare them, choose the champion."""

import getpass
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from flows.commands.options import DomainArgument, SetOption, overrides_from
from flows.console import JUDGED, out, read_champion
from lsntp.config import Domain, load_domain
from lsntp.errors import ConfigError, ModelError
from lsntp.grid import Floats
from lsntp.times import in_hours

if TYPE_CHECKING:
    from lsntp.training.champion import Champion
    from lsntp.training.decisions import Decision
    from lsntp.training.gate_window import Duel
    from lsntp.training.versions import ModelVersion

VersionArgument = Annotated[
    str,
    typer.Argument(
        metavar="VERSION",
        help="A version, its unique beginning, a model (its newest version), or champion.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For scripts.")]
ByOption = Annotated[
    str | None, typer.Option("--by", help="Who decides; default: the user of this machine.")
]


def list_versions(
    domain: DomainArgument, as_json: JsonOption = False, override: SetOption = None
) -> None:
    """List the versions of every model, which of them is champion, and what the gate said last.

    Example: `lsntp models list demo`
    """
    from lsntp.training.versions import list_versions as list_all
    from lsntp.workspace import Workspace

    resolved = load_domain(domain, overrides=overrides_from(override))
    champion = read_champion(resolved)  # who mends a damaged one has to see the versions
    versions = list_all(Workspace.of(resolved).models)
    last = _last_decisions(resolved)
    if as_json:
        rows = [_summary(version, champion, last.get(version.version)) for version in versions]
        out.print_json(json.dumps(rows))
        return
    if not versions:
        _say(f"no version of a model of {resolved.domain} yet; `lsntp train {domain}` makes them")
        return
    table = Table(title=f"Model versions of {resolved.domain}; ★ is the champion")
    for heading in ("", "version", "kind", "made", "validation MAE", "last decision"):
        table.add_column(heading, no_wrap=heading == "version")
    for version in versions:
        decision = last.get(version.version)
        mae = _validation_mae_k(version)
        table.add_row(
            "★" if champion and champion.version == version.version else "",
            version.version,
            version.kind,
            f"{version.provenance.created_at:%Y-%m-%d %H:%M}Z",
            f"{mae:.3f} K" if mae is not None else "-",
            f"{decision.verdict}, {decision.decided_at:%Y-%m-%d}" if decision else "-",
        )
    out.print(table)


def show(
    domain: DomainArgument,
    version: VersionArgument,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """Show what decided a version, what it has seen, its scores, and what the gate said of it.

    Example: `lsntp models show demo champion`
    """
    from lsntp.training.champion import find_version
    from lsntp.training.decisions import decisions_of
    from lsntp.training.versions import open_version
    from lsntp.workspace import Workspace

    resolved = load_domain(domain, overrides=overrides_from(override))
    champion = read_champion(resolved)
    found = open_version(Workspace.of(resolved).models, find_version(resolved, version))
    decisions = decisions_of(resolved, found.version)
    if as_json:
        content = _summary(found, champion, decisions[-1] if decisions else None) | {
            "provenance": found.provenance.model_dump(mode="json"),
            "scores": found.scores,
            "decisions": [decision.model_dump(mode="json") for decision in decisions],
        }
        out.print_json(json.dumps(content))
        return
    provenance, recipe = found.provenance, found.provenance.recipe
    _say(f"version     {found.version}")
    _say(f"path        {found.path}")
    _say(f"kind        {found.kind}, {provenance.parameters:,} trained numbers")
    _say(f"grid        {provenance.grid}; {recipe.history} steps to {recipe.horizon}")
    _say(f"trained on  {' to '.join(recipe.training_period)}, data {recipe.training_data}")
    _say(f"validated   {' to '.join(recipe.validation_period)}")
    if recipe.parent:
        _say(f"from        {recipe.parent}")
    _say(
        f"made        {provenance.created_at:%Y-%m-%d %H:%M}Z in "
        f"{sum(provenance.durations_s.values()):.1f} s on {provenance.hardware['accelerator']}, "
        f"code {recipe.code_version}{f' ({provenance.commit})' if provenance.commit else ''}"
    )
    for name, value in recipe.settings.items():
        _say(f"setting     {name}: {json.dumps(value)}")
    scores = found.scores
    for lead, mae in zip(scores.get("lead_times_h", ()), scores.get("mae_k", ()), strict=True):
        _say(f"validation  +{lead:g} h MAE {mae:.3f} K")
    if champion is not None and champion.version == found.version:
        _say(
            f"champion    since {champion.since:%Y-%m-%d %H:%M}Z, {champion.action} by "
            f"{champion.by}: {champion.reason}"
        )
    for decision in decisions:
        against = f" against {decision.champion}" if decision.champion else ""
        _say(
            f"decision    {decision.decided_at:%Y-%m-%d %H:%M}Z {decision.verdict}{against}: "
            f"{decision.reason}"
        )


def promote(
    domain: DomainArgument,
    version: VersionArgument,
    force: Annotated[
        bool, typer.Option("--force", help="Do not ask the gate; --why says why not.")
    ] = False,
    why: Annotated[
        str | None, typer.Option("--why", metavar="TEXT", help="Your reason; kept for good.")
    ] = None,
    by: ByOption = None,
    override: SetOption = None,
) -> None:
    """Offer a version to the gate, which makes it champion if it is better; --force does so anyway.

    The gate compares it with the champion over the newest days that neither has seen (`gate.days`):
    lower RMSE in the mean of the leads, surely (95 % of a bootstrap over blocks of days), and no
    lead worse by more than `gate.margin`. Not promoted: exit code 10 and the reason. A version that
    is damaged, does not fit, or holds numbers that are not finite is refused, forced or not.

    Example: `lsntp models promote demo ridge`
    """
    from lsntp.training.champion import champion_of, find_version
    from lsntp.training.champion import promote as enforce
    from lsntp.training.gate import offer

    if force and not (why and why.strip()):
        raise ConfigError("Expected --why TEXT with --force, found none; say why.")
    if why and not force:
        raise ConfigError("Expected --why with --force only; without it the gate gives the reason.")
    resolved = load_domain(domain, overrides=overrides_from(override))
    user = by or getpass.getuser()
    name = find_version(resolved, version)
    if force:
        chosen = enforce(resolved, name, by=user, reason=why or "")
        _say_champion(chosen)
        return
    outcomes = {entry.decision.candidate: entry for entry in offer(resolved, [name], by=user)}
    champion = champion_of(resolved)
    if champion is not None and champion.version == name:
        done = outcomes.get(name)
        _say(
            f"promote: {name} {JUDGED['promoted']}. {done.decision.reason}"
            if done
            else f"promote: nothing to do, {name} is the champion already"
        )
        return
    decision = outcomes[name].decision
    if decision.verdict == "promoted":
        raise ModelError(
            f"{name} is not promoted: Expected a new judgement, found that it was promoted by "
            f"{decision.id} and rolled back since; --force --why TEXT makes it champion again."
        )
    raise ModelError(f"{name} {JUDGED[decision.verdict]}. {decision.reason}")


def rollback(
    domain: DomainArgument,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Your reason; kept for good.")],
    version: Annotated[
        str | None,
        typer.Option("--to", metavar="VERSION", help="An earlier champion; default: the last."),
    ] = None,
    by: ByOption = None,
    override: SetOption = None,
) -> None:
    """Return to the champion before this one, at once; the gate is not asked.

    Forecasts that are there stay as they were made, each naming its version. Repeated, it goes
    back further.

    Example: `lsntp models rollback demo --why "too warm at night since Monday"`
    """
    from lsntp.training.champion import find_version
    from lsntp.training.champion import rollback as return_to

    resolved = load_domain(domain, overrides=overrides_from(override))
    target = find_version(resolved, version) if version is not None else None
    _say_champion(return_to(resolved, by=by or getpass.getuser(), reason=why, version=target))


def compare(
    domain: DomainArgument,
    first: VersionArgument,
    second: VersionArgument,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """Compare two versions as the gate would, lead by lead; decides and stores nothing.

    Both forecast from the same initial times, the newest that neither has seen. `lsntp compare`
    compares stored forecasts instead.

    Example: `lsntp models compare demo lsntp champion`
    """
    from lsntp.training.champion import find_version
    from lsntp.training.gate_window import duel, enter
    from lsntp.training.history import open_analysis

    resolved = load_domain(domain, overrides=overrides_from(override))
    names = [find_version(resolved, text) for text in (first, second)]
    if names[0] == names[1]:
        raise ModelError(f"Expected two different versions to compare, found {names[0]} twice.")
    contenders = [enter(resolved, name) for name in names]
    found = duel(resolved, open_analysis(resolved), *contenders)
    content = _comparison(resolved, found)
    if as_json:
        out.print_json(json.dumps(content, allow_nan=False))
        return
    table = Table(
        title=f"RMSE (K) over {content['days']} days, {content['init_times']} initial "
        f"times from {' to '.join(content['window'])}"
    )
    for heading in ("lead", *names, "difference (95 %)"):
        table.add_column(heading, justify="right")
    for row in (*content["leads"], content["mean"]):
        low, high = row["interval_k"] or ("-", "-")
        interval = f" [{low:+.3f}, {high:+.3f}]" if row["interval_k"] else ""
        table.add_row(
            row["label"],
            f"{row['first_rmse_k']:.3f}",
            f"{row['second_rmse_k']:.3f}",
            f"{row['difference_k']:+.3f}{interval}",
        )
    out.print(table)
    _say(content["verdict"])


def import_checkpoint(
    domain: DomainArgument,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A .pth of the authors' LS-NTP, wrapped or bare.",
            exists=True,
            dir_okay=False,
        ),
    ],
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="The network of DOMAIN it belongs to.")
    ] = "lsntp",
    score: Annotated[
        bool, typer.Option(help="Forecast the validation block and store the scores.")
    ] = True,
    override: SetOption = None,
) -> None:
    """Turn released weights of the LS-NTP authors into a model version that forecasts.

    The network must have `configuration: official`, `target: absolute` and
    `scaling: min-max-01`, and DOMAIN must hold the analyses of the year the weights were
    trained on: their smallest and largest value undo the scaling. The file is read as tensors
    only; code in it is refused, not run.

    Example: `lsntp import-checkpoint my-ncep.yaml LS_NTP_NCEP.pth --model lsntp`
    """
    resolved = load_domain(domain, overrides=overrides_from(override))
    from lsntp.training.import_checkpoint import import_checkpoint as run

    version = run(resolved, file, model, score=score)
    out.print(f"version     {version.path}", highlight=False, soft_wrap=True)
    out.print(f"parameters  {version.provenance.parameters:,}", highlight=False)
    mae = version.scores.get("mae_k")
    if mae:
        out.print(
            f"validation  MAE {sum(mae) / len(mae):.3f} K, mean of {len(mae)} leads, "
            f"{version.scores['windows']} windows",
            highlight=False,
        )
    _say(f"next        lsntp models promote {domain} {version.version}")


def _comparison(domain: Domain, found: "Duel") -> dict[str, Any]:
    """A duel, ready for JSON."""
    from lsntp.training.gate import better_by_rule

    overall = found.difference(domain.bootstrap_samples)
    names = found.first.name, found.second.name
    if found.window.is_long_enough:
        is_better, reason = better_by_rule(found, overall, domain.gate.margin)
        verb = "would replace" if is_better else "would not replace"
        verdict = f"By the gate's rule {names[0]} {verb} {names[1]}. {reason}"
    else:
        verdict = found.window.explain_too_short(names)

    def row(label: str, rmse: Floats, lead: int | None = None) -> dict[str, Any]:
        gap = found.difference(domain.bootstrap_samples, lead)
        is_known = math.isfinite(gap.low)
        return {
            "label": label,
            "first_rmse_k": float(rmse[0]),
            "second_rmse_k": float(rmse[1]),
            "difference_k": gap.estimate,
            "interval_k": [gap.low, gap.high] if is_known else None,
        }

    return {
        "first": names[0],
        "second": names[1],
        "window": found.window.span,
        "days": found.window.days,
        "init_times": int(found.window.init_times.size),
        "leads": [
            row(f"+{in_hours(lead):g} h", found.rmse[:, index], index)
            for index, lead in enumerate(found.lead_times)
        ],
        "mean": row("mean", found.rmse.mean(axis=1)),
        "verdict": verdict,
    }


def _summary(
    version: "ModelVersion", champion: "Champion | None", decision: "Decision | None"
) -> dict[str, Any]:
    return {
        "version": version.version,
        "model": version.model,
        "kind": version.kind,
        "made": version.provenance.created_at.isoformat(),
        "validation_mae_k": _validation_mae_k(version),
        "is_champion": champion is not None and champion.version == version.version,
        "last_verdict": decision.verdict if decision else None,
        "last_reason": decision.reason if decision else None,
    }


def _last_decisions(domain: Domain) -> "dict[str, Decision]":
    from lsntp.training.decisions import decisions_of

    return {decision.candidate: decision for decision in decisions_of(domain)}


def _validation_mae_k(version: "ModelVersion") -> float | None:
    """Mean over leads; None where nothing was scored."""
    mae = version.scores.get("mae_k")
    return sum(mae) / len(mae) if mae else None


def _say_champion(champion: "Champion") -> None:
    _say(f"champion: {champion.version}, {champion.action} by {champion.by}: {champion.reason}")


def _say(text: str) -> None:
    out.print(text, highlight=False, soft_wrap=True, markup=False)
