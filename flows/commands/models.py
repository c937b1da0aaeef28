"""Commands about model versions."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import DomainArgument, SetOption, overrides_from
from flows.console import out
from lsntp.config import load_domain


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
