"""Commands that run a flow, and the one that puts flows on a schedule."""

from pathlib import Path
from typing import Annotated

import typer

from flows import console, runtime
from flows.commands.options import (
    DomainArgument,
    FromOption,
    ModelOption,
    SetOption,
    ToOption,
    overrides_from,
)
from flows.console import out
from lsntp.config import load_domain
from lsntp.workspace import Workspace


def ingest(
    domain: DomainArgument,
    start: FromOption = None,
    end: ToOption = None,
    override: SetOption = None,
) -> None:
    """Fetch, check, regrid and store the hours that are not final yet.

    Of a source beyond a network: the newest hours first, then the oldest gaps, within
    `ingest.budget_h`; a gap asked for in vain rests `ingest.retry_h`. With --from or --to
    everything in the period, at once.

    Example: `lsntp ingest ncep-north-america --from 2013-01-01 --to 2014-01-01`
    """
    overrides = overrides_from(override)
    runtime.ensure_limits(load_domain(domain, overrides=overrides))
    from flows.ingest import ingest as flow

    outcome = flow(domain, start=start, end=end, overrides=overrides)
    console.print_ingest(outcome)


def reconcile(
    domain: DomainArgument,
    start: FromOption = None,
    end: ToOption = None,
    override: SetOption = None,
) -> None:
    """Replace preliminary hours by the final ones that have appeared, and note what changed.

    Asks for those older than `ingest.final_after_days`; with --from or --to whatever their age.
    Scores against the replaced hours are due again; forecasts from them are counted as superseded.

    Example: `lsntp reconcile era5-hourly`
    """
    overrides = overrides_from(override)
    runtime.ensure_limits(load_domain(domain, overrides=overrides))
    from flows.reconcile import reconcile as flow

    console.print_reconcile(flow(domain, start=start, end=end, overrides=overrides))


def backfill(
    domain: DomainArgument,
    start: FromOption = None,
    end: ToOption = None,
    newest_first: Annotated[
        bool, typer.Option("--newest-first", help="Begin with the newest piece.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how much there is to fetch.")
    ] = False,
    override: SetOption = None,
) -> None:
    """Fill a period, in pieces; a killed backfill goes on where it was.

    Asks for every hour without a field and leaves all others as they are. Without --from from
    archive.start on, without --to up to all that the source has.

    Example: `lsntp backfill era5-hourly --from 2015-01-01 --to 2020-01-01 --newest-first`
    """
    overrides = overrides_from(override)
    resolved = load_domain(domain, overrides=overrides)
    if dry_run:
        from dataclasses import asdict

        from flows.parameters import period_between
        from lsntp.backfill import backfill as plan

        report = plan(resolved, period=period_between(resolved, start, end), dry_run=True)
        console.print_backfill({**asdict(report), "period": str(report.period)})
        return
    runtime.ensure_limits(resolved)
    from flows.backfill import backfill as flow

    outcome = flow(domain, start=start, end=end, newest_first=newest_first, overrides=overrides)
    console.print_backfill(outcome)


def prepare(domain: DomainArgument, override: SetOption = None) -> None:
    """Normalise the training period into training archives; unchanged inputs are not rebuilt.

    Example: `lsntp prepare demo`
    """
    overrides = overrides_from(override)
    runtime.ensure_limits(load_domain(domain, overrides=overrides))
    from flows.train import prepare as flow

    for path in flow(domain, overrides=overrides):
        out.print(f"training archive {path}", highlight=False, soft_wrap=True)


def train(
    domain: DomainArgument,
    model: ModelOption = None,
    fine_tune: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION",
            help="Start from the weights of a version, its unique beginning, a model (its newest "
            "version), or champion.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option(help="Train even if the version exists.")] = False,
    override: SetOption = None,
) -> None:
    """Fit baselines and networks; a model whose inputs did not change is left as it is.

    Example: `lsntp train demo --model lsntp --set networks.lsntp.training.epochs=2`
    """
    overrides = overrides_from(override)
    runtime.ensure_limits(load_domain(domain, overrides=overrides))
    from flows.train import train as flow

    outcome = flow(domain, models=model, fine_tune_from=fine_tune, force=force, overrides=overrides)
    console.print_train(outcome)


def forecast(
    domain: DomainArgument,
    model: ModelOption = None,
    start: FromOption = None,
    end: ToOption = None,
    latest: Annotated[bool, typer.Option(help="Only the newest initial time.")] = False,
    redo_superseded: Annotated[
        bool,
        typer.Option(
            "--redo-superseded", help="Make those again whose preliminary inputs are final now."
        ),
    ] = False,
    override: SetOption = None,
) -> None:
    """Forecast from every initial time with a complete history and no forecast yet.

    Starts at the test period unless --from says otherwise: earlier hours were trained on.
    A version may be named whole, like a model: its forecasts get an archive of their own.
    In a GFS domain also fetches the forecasts of GFS itself, as the models gfs and
    gfs-bias-corrected: without --from and --to the newest `source.forecasts_per_run` of them at
    a time. The latter needs those of the training block, fetched once with --from and --to.

    Example: `lsntp forecast demo --latest`
    """
    overrides = overrides_from(override)
    runtime.ensure_limits(load_domain(domain, overrides=overrides))
    from flows.forecast import forecast as flow

    outcome = flow(
        domain,
        models=model,
        start=start,
        end=end,
        latest=latest,
        redo_superseded=redo_superseded,
        overrides=overrides,
    )
    console.print_forecast(outcome)


def evaluate(domain: DomainArgument, model: ModelOption = None, override: SetOption = None) -> None:
    """Score every forecast whose truth has arrived and print the skill table.

    Forecasts of versions named whole are scored, too; `lsntp compare` shows them side by side.

    Example: `lsntp evaluate demo`
    """
    overrides = overrides_from(override)
    resolved = load_domain(domain, overrides=overrides)
    runtime.ensure_limits(resolved)
    from flows.evaluate import evaluate as flow

    outcome = flow(domain, models=model, overrides=overrides)
    console.print_evaluate(outcome)
    console.print_skill(resolved)


def report(domain: DomainArgument, override: SetOption = None) -> None:
    """Write the self-contained HTML report and print its path.

    Example: `lsntp report demo`
    """
    overrides = overrides_from(override)
    runtime.ensure_limits(load_domain(domain, overrides=overrides))
    from flows.evaluate import report as flow

    out.print(f"report {flow(domain, overrides=overrides)}", highlight=False, soft_wrap=True)


def demo(
    override: SetOption = None,
    root: Annotated[
        Path | None, typer.Option(help="Archive root; default: LSNTP_ROOT or lsntp-data.")
    ] = None,
) -> None:
    """Run the whole job offline on synthetic data: source to HTML report in a few minutes.

    Example: `lsntp demo --root /tmp/lsntp-demo`
    """
    overrides = overrides_from(override)
    if root is not None:
        overrides["root"] = str(root)
    resolved = load_domain("demo", overrides=overrides)
    runtime.use_private_server(Workspace.of(resolved).machine)
    runtime.ensure_limits(resolved)
    from flows.pipeline import pipeline

    outcome = pipeline("demo", overrides=overrides)
    console.print_ingest(outcome["ingest"])
    console.print_train(outcome["train"])
    console.print_forecast(outcome["forecast"])
    console.print_evaluate(outcome["evaluate"])
    console.print_skill(resolved)
    out.print()
    for entry in outcome["forecast"]:
        out.print(f"forecast    {entry['path']}", highlight=False, soft_wrap=True)
    out.print(f"evaluation  {Workspace.of(resolved).evaluation}", highlight=False, soft_wrap=True)
    out.print(f"report      {outcome['report']}", highlight=False, soft_wrap=True)
