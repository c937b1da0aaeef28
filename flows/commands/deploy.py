"""The command that puts a domain's flows on a schedule, or says where a server differs."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import DomainArgument, SetOption, overrides_from
from flows.console import out
from lsntp.config import load_domain, preset_names

if TYPE_CHECKING:
    from flows.deployment import Change

DIFFERS = 14
"""Exit code of a check that found server and files to differ."""
POOL_KEY = "retrain.pool"
SAID_OF_A_CHECK = {"created": "missing", "updated": "differs"}


class TrainOn(StrEnum):
    """The work pools that retraining may be deployed to."""

    GPU = "gpu"
    CPU = "cpu"


def deploy(
    domain: DomainArgument,
    override: SetOption = None,
    train_on: Annotated[
        TrainOn | None,
        typer.Option(
            help="Where retraining runs, whatever retrain.pool in the domain file says (gpu if it "
            "says nothing). gpu: every visible GPU, and it refuses to train without; cpu: whatever "
            "the machine has."
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help=f"Change nothing; exit code {DIFFERS} if server and files differ."
        ),
    ] = False,
) -> None:
    """Put a domain on a schedule: pools, limits, deployments, automations; rerun freely.

    Says what it created, which fields it corrected, what was so already, and what no file has,
    with the command that deletes it. Ingest, reconcile,
    forecast and evaluate run in the pool cpu; retraining (weekly, on skill drift, and by hand)
    waits for a worker of the pool gpu. On a machine without a GPU say so once, with
    `--train-on cpu` or `retrain: {pool: cpu}` in the domain file, as the preset demo does.

    Example: `lsntp deploy my.yaml --train-on cpu`, then `prefect worker start --pool cpu`
    """
    overrides = overrides_from(override)
    if train_on is not None:
        overrides[POOL_KEY] = train_on.value
    resolved = load_domain(domain, overrides=overrides)
    from flows import deployment
    from lsntp.workspace import Workspace

    reference = domain if domain in preset_names() else str(Path(domain).resolve())
    go = deployment.check if check else deployment.deploy
    changes = go(resolved, reference, overrides)
    for change in changes:
        _say(change, SAID_OF_A_CHECK if check else {})
    if check:
        _conclude(changes, domain)
        return
    _print(f"Archives: {Workspace.of(resolved).root}, whatever LSNTP_ROOT a worker has")
    out.print("Start a worker with: prefect worker start --pool cpu", soft_wrap=True)
    if not resolved.retrain.is_moving:
        _print(
            "Retraining takes the split as written and makes nothing new of later hours, until "
            "the domain file says retrain: {window: rolling, days: 730} (or expanding)"
        )
    if resolved.retrain.pool == TrainOn.GPU.value:
        out.print(
            "Retraining waits for: prefect worker start --pool gpu, on a machine with a GPU. "
            f"None to be had: lsntp deploy {domain} --train-on cpu",
            soft_wrap=True,
        )


def _say(change: "Change", words: dict[str, str]) -> None:
    why = f"  {change.why}" if change.why else ""
    outcome = words.get(change.outcome.value, change.outcome.value)
    _print(f"{change.kind:<10} {change.name}  {outcome}{why}")
    for difference in change.differences:
        _print(f"{'':<10}   {difference}")


def _conclude(changes: "list[Change]", domain: str) -> None:
    drifted = sum(change.is_drift for change in changes)
    if not drifted:
        _print(f"the server is as the files say, {len(changes)} things")
        return
    _print(
        f"{drifted} of {len(changes)} differ, shown as the server has it -> as the files say; "
        f"nothing was changed: lsntp deploy {domain}, which deletes nothing"
    )
    raise typer.Exit(DIFFERS)


def _print(text: str) -> None:
    out.print(text, highlight=False, soft_wrap=True, markup=False)
