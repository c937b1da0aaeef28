"""The skill table of the README: every model on the same windows, with the same minutes of CPU.

Run: OMP_NUM_THREADS=1 python -m tests.benchmarks.skill_table --data DIR --out DIR [--seeds 3]

What is fair. Every network is fitted with the recipe and the CPU minutes of its domain
(:data:`tests.benchmarks.skill_rows.CASES`): the epochs are those that fit into the minutes at the
pace of the row, so that the schedule of the learning rate always ends; never more than ``epochs``
of the case. The pace is measured once a row, for all its seeds, and kept in DIR/pace.json. A busy
machine makes it slow, so do ``--pace`` first, on a quiet one: it measures them all in some minutes
and stops there. The weights kept are those of the epoch with the best validation loss, unless the
domain keeps the last. Nothing is chosen by the test block. Errors are over plain cells, of the
initial times that all models have a history for. With ``--epochs N`` it is the epochs that are
equal, whatever they cost: for networks that the minutes are too few for, on a GPU if there is one.

What is stored. One file a row and seed under DIR/rows, written when it is done: a killed run,
started again, does the rest. Rows are done in order of weight; the table is written anew to
DIR/skill_table.md after each.

What is printed. MAE by lead, its mean and, over the seeds, its standard deviation; the ratio to
ridge; the difference to the best baseline, to the ConvNet and to ``plus`` with a 95 % interval
(paired bootstrap over blocks of days of the losses averaged over the seeds that both have); the
CPU minutes, and those after which the validation MAE never again is above 1.05 times its value at
the end. A row "mean of n" is the forecast averaged over the seeds: an ensemble's mean.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import seed_everything

from lsntp.config import BASELINES, NetworkConfig, load_domain
from lsntp.evaluation.bootstrap import block_length, difference
from lsntp.ingest import ingest
from lsntp.models.base import Forecaster
from lsntp.models.registry import parameter_count
from lsntp.static.making import make_static
from lsntp.times import Times
from lsntp.training.fit import prepare, train
from lsntp.training.history import is_complete, open_analysis, read_fields, status_of
from lsntp.training.loading import load_forecaster
from lsntp.training.network import make_forecaster, untrained_network
from lsntp.training.network_fit import fit_network
from lsntp.training.versions import latest_version
from lsntp.training_data.forced_windows import ForcedWindows
from lsntp.training_data.ground import Ground, known_ground
from lsntp.training_data.splits import make_split, with_longer_history
from lsntp.training_data.windows import Windows
from lsntp.workspace import Workspace
from tests.benchmarks.bench_quality import clock
from tests.benchmarks.skill_rows import CASES, MAIN, Case, Row, network_of

SAMPLES = 2000
"""Of the bootstrap."""
PACE = "pace.json"
GROUND = tuple(f"${{LSNTP_DATA}}/static/{name}.nc" for name in ("etopo20", "era5_landmask_0.25"))
"""Of the rows that are told the height of the ground; their land stays that of the others."""


@dataclass(frozen=True, eq=False)
class Result:
    """One row and seed, or one baseline.

    Attributes:
        error: forecast less truth (n, K, H, W), K, of the test block.
        parameters: trained numbers.
        epochs: fitted.
        minutes: of CPU up to the validation of each epoch, from the first step on (epochs,).
        validation: the validation loss of each epoch (epochs,), normalised.
    """

    error: np.ndarray[Any, np.dtype[np.float32]]
    parameters: int = 0
    epochs: int = 0
    minutes: np.ndarray[Any, np.dtype[np.float64]] = dataclasses.field(
        default_factory=lambda: np.zeros(0)
    )
    validation: np.ndarray[Any, np.dtype[np.float64]] = dataclasses.field(
        default_factory=lambda: np.zeros(0)
    )

    @property
    def losses(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The mean absolute error of each forecast and lead (n, K), K."""
        return np.abs(self.error.astype(np.float64)).mean(axis=(2, 3))

    @property
    def minutes_to_within(self) -> float:
        """CPU minutes until the validation loss stays below 1.05 times its last value."""
        late = np.flatnonzero(self.validation > 1.05 * self.validation[-1])
        return float(self.minutes[late[-1] + 1 if late.size else 0])


class Bench:
    """One domain, ingested under ``out``, with the rows that are done.

    Args:
        case: the domain and its rows.
        minutes: of CPU for each fit, unless ``epochs`` are given.
        out: for archives and rows.
        epochs: of each fit.
    """

    def __init__(self, case: Case, minutes: float, out: Path, epochs: int | None = None) -> None:
        self.case, self.minutes, self.out, self.epochs = case, minutes, out, epochs
        self.domain = load_domain(case.domain, overrides={"root": str(out / "data")})
        ingest(self.domain)
        self.analysis = open_analysis(self.domain)
        self.split = make_split(self.domain, self.analysis)
        self.steps = tuple(range(1, self.domain.horizon + 1))

    def network(self, row: Row, seed: int) -> NetworkConfig:
        """See :func:`network_of`."""
        return network_of(self.domain, row, seed=seed, epochs=self.epochs or self.case.epochs)

    def path(self, row: Row, seed: int) -> Path:
        """Where the row is stored; another one for another recipe or another budget."""
        decides = [self.network(row, seed).model_dump(mode="json")]
        decides.append(f"{self.epochs} epochs" if self.epochs else self.minutes)
        decides.append(self.domain.split.model_dump(mode="json"))
        digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]
        name = "".join(letter if letter.isalnum() else "-" for letter in row.name)
        return self.out / "rows" / self.case.domain / f"{name}-{seed}-{digest}.npz"

    def result(self, row: Row, seed: int) -> Result | None:
        """The row, if it is done."""
        path = self.path(row, seed)
        if not path.exists():
            return None
        with np.load(path) as stored:
            return Result(
                stored["error"],
                int(stored["parameters"]),
                int(stored["epochs"]),
                stored["minutes"],
                stored["validation"],
            )

    def fit(self, row: Row, seed: int) -> None:
        """Train one row, forecast the test block, store it."""
        config = self.network(row, seed)
        epochs = self.epochs or self.epochs_within(self.minutes, row)
        network, forecaster, curves = self._train(row, config, epochs)
        result = Result(
            self._error(forecaster), parameter_count(network), epochs, curves[0], curves[1]
        )
        path = self.path(row, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".part.npz")
        np.savez(aside, **{f.name: getattr(result, f.name) for f in dataclasses.fields(result)})
        aside.replace(path)

    @property
    def test(self) -> Times:
        """The init_times of the test block with a history and a truth for every model."""
        longest = tuple(range(-2 * self.domain.steps_per_day, self.domain.horizon + 1))
        return self.split.test[is_complete(status_of(self.analysis, self.split.test, longest))]

    @cached_property
    def ground(self) -> Ground:
        """The land of every row, and the height of :data:`GROUND`."""
        static = {"root": str(self.out / "data"), "static": {"paths": list(GROUND)}}
        domain = load_domain(self.case.domain, overrides=static)
        make_static(domain)
        height = known_ground(domain, with_height=True).height_km
        return Ground(known_ground(self.domain).land, height)

    @cache  # noqa: B019 - a bench lives as long as the program
    def baselines(self) -> dict[str, Result]:
        """Every baseline, fitted as the product fits them."""
        train(self.domain, models=list(BASELINES))
        models = Workspace.of(self.domain).models
        return {
            name: Result(
                self._error(load_forecaster(latest_version(models, name), self.domain)),
                open_parameters(models, name),
            )
            for name in BASELINES
        }

    def epochs_within(self, minutes: float, row: Row) -> int:
        """How many epochs of a row fit into CPU minutes: one at least, and at most the case's."""
        return min(self.case.epochs, max(1, int(minutes / self.pace(row))))

    def pace(self, row: Row) -> float:
        """CPU minutes an epoch: the second of two tenths of one, times ten; measured once a row."""
        row = MAIN[0] if row.is_paced_as_plus else row
        path = self.out / PACE
        paces = json.loads(path.read_text("utf-8")) if path.exists() else {}
        name = f"{self.case.domain}: {row.name}"
        if name not in paces:
            _, _, (minutes, _) = self._train(row, self.network(row, 1), 2, every=10)
            paces[name] = 10 * (minutes[1] - minutes[0])
            aside = path.with_suffix(".part")
            aside.write_text(json.dumps(paces, indent=1), "utf-8")
            aside.replace(path)
        return float(paces[name])

    def _train(
        self, row: Row, config: NetworkConfig, epochs: int, every: int = 1
    ) -> tuple[torch.nn.Module, Forecaster, tuple[Any, Any]]:
        """Network, forecaster, and by epoch the CPU minutes and the validation loss."""
        domain = self.domain.model_copy(update={"networks": {row.name: config}})
        archive = next(found for found in prepare(domain) if found.scaling == config.scaling)
        seed_everything(config.training.seed, verbose=False)
        network = untrained_network(config, domain)
        ground = self.ground if "orography" in row.change else None
        forecaster = make_forecaster(
            row.name, [network], config, archive.statistics, domain, ground
        )
        frames, forcings = len(forecaster.offsets), forecaster.forcings
        blocks: list[Windows | ForcedWindows] = []
        for whole in (self.split.train, self.split.validation):
            init_times = with_longer_history(domain, self.analysis, whole[::every], frames)
            windows = Windows(
                archive, init_times, forecaster.transform, history=frames, horizon=domain.horizon
            )
            blocks.append(ForcedWindows(windows, forcings) if forcings else windows)
        training, validation = blocks[0], clock(blocks[1])
        recipe = config.training.model_copy(update={"epochs": epochs})
        with tempfile.TemporaryDirectory() as folder:
            begin = time.process_time()
            fit_network(
                network,
                training,
                validation,
                config=recipe,
                folder=Path(folder),
                description=f"{row.name}, seed {recipe.seed}",
            )
            lines = (Path(folder) / "metrics.csv").read_text().splitlines()[1:]
        minutes = (np.array(validation.seconds) - begin) / 60
        return network, forecaster, (minutes, np.array([float(x.split(",")[-1]) for x in lines]))

    def _error(self, forecaster: Forecaster) -> np.ndarray[Any, np.dtype[np.float32]]:
        history = read_fields(self.analysis, self.test, forecaster.offsets)
        truth = read_fields(self.analysis, self.test, self.steps)
        return np.asarray(forecaster.forecast(history, self.test) - truth, np.float32)


def open_parameters(models: Path, name: str) -> int:
    """Trained numbers of a stored version."""
    return latest_version(models, name).provenance.parameters


def order(benches: Sequence[Bench], seeds: int) -> Iterator[tuple[Bench, Row, int]]:
    """Main rows with every seed first, the fastest domain first; then the others by seed."""
    benches = sorted(benches, key=lambda bench: bench.minutes)
    for bench in benches:
        for row in bench.case.rows:
            if row.is_main:
                yield from ((bench, row, seed) for seed in range(1, seeds + 1))
    for seed in range(1, seeds + 1):
        for bench in benches:
            yield from ((bench, row, seed) for row in bench.case.rows if not row.is_main)


def paired_losses(
    ours: Sequence[Result], theirs: Sequence[Result]
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.float64]]]:
    """Losses (n, K) of both, each averaged over the seeds that both have, if both have any."""
    if ours[0].epochs and theirs[0].epochs:  # neither a baseline nor a mean of seeds
        both = min(len(ours), len(theirs))
        ours, theirs = ours[:both], theirs[:both]
    mean_ours, mean_theirs = (
        np.mean([result.losses for result in results], axis=0) for results in (ours, theirs)
    )
    return mean_ours, mean_theirs


def table(bench: Bench, seeds: int) -> str:
    """What is done of a domain, as Markdown."""
    baselines = bench.baselines()
    best = min(baselines, key=lambda name: baselines[name].losses.mean())
    found: dict[str, list[Result]] = {name: [result] for name, result in baselines.items()}
    for row in bench.case.rows:
        done = [bench.result(row, seed) for seed in range(1, seeds + 1)]
        if there := [result for result in done if result is not None]:
            found[row.name] = there
            if len(there) > 1 and row.is_main:
                mean = np.mean([result.error for result in there], axis=0, dtype=np.float32)
                parameters = sum(result.parameters for result in there)
                found[f"{row.name}, mean of {len(there)}"] = [Result(mean, parameters)]
    losses = {name: np.mean([r.losses for r in results], axis=0) for name, results in found.items()}
    shape = "{} x {}".format(*bench.domain.target_grid.shape)
    days = np.unique(bench.test.astype("datetime64[D]")).size
    leads = [f"{step * bench.domain.cadence_h:g} h" for step in bench.steps]
    columns = [
        "model",
        *leads,
        "mean ± sd",
        "/ ridge",
        f"− {best}",
        "− ConvNet",
        "− plus",
        "seeds",
        "parameters",
        "epochs",
        "CPU min",
        "to 1.05 ×",
    ]
    budget = f"{bench.epochs} epochs" if bench.epochs else f"at most {bench.minutes:g} CPU minutes"
    lines = [
        f"**{bench.domain.domain}** ({shape} cells, MAE in K, {bench.test.size} initial times on "
        f"{days} days; {budget} a fit)",
        "",
        "| " + " | ".join(columns) + " |",
        "|---" + "|---:" * (len(columns) - 1) + "|",
    ]
    for name in sorted(found, key=lambda name: losses[name].mean()):
        results, by_lead = found[name], losses[name].mean(axis=0)
        means = [result.losses.mean() for result in results]
        spread = f" ± {np.std(means, ddof=1):.3f}" if len(means) > 1 else ""
        cells = [
            name,
            *(f"{value:.3f}" for value in by_lead),
            f"{by_lead.mean():.3f}{spread}",
            f"{by_lead.mean() / losses['ridge'].mean():.3f}",
        ]
        for other in (best, "ConvNet", "plus"):
            if other == name or other not in losses:
                cells.append("")
                continue
            gap = difference(
                *paired_losses(results, found[other]),
                bench.test,
                metric="mae",
                samples=SAMPLES,
                block_days=block_length(days),
            )
            cells.append(f"{gap.estimate:+.3f} ({gap.low:+.3f} … {gap.high:+.3f})")
        first = results[0]
        timed = [result for result in results if result.epochs]
        cells += [str(len(results)) if timed else "", f"{first.parameters:,d}"]
        cells += (
            [
                f"{np.mean([r.epochs for r in timed]):.0f}",
                f"{np.mean([r.minutes[-1] for r in timed]):.1f}",
                f"{np.mean([r.minutes_to_within for r in timed]):.1f}",
            ]
            if timed
            else ["", "", ""]
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine() -> str:
    """What the minutes were taken on."""
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    core = f"One core of {names[0] if names else platform.machine()}"
    gpu = f" and a {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{core}{gpu}, torch {torch.__version__}."


def main() -> None:
    """Do what is not done yet; print and keep the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="where ncep/, era5/ and static/ lie"
    )
    parser.add_argument("--out", type=Path, required=True, help="for archives, rows and the table")
    parser.add_argument("--seeds", type=int, default=3, help="of every row (default: %(default)s)")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, help="CPU minutes a fit (default: the domain's)")
    budget.add_argument("--epochs", type=int, help="of every fit, instead of minutes")
    budget.add_argument("--quick", action="store_true", help="one seed, 0.3 minutes: a try-out")
    parser.add_argument("--only", nargs="*", help="rows to do; all others are shown if done")
    parser.add_argument("--domain", help="this domain only")
    parser.add_argument("--pace", action="store_true", help="measure the pace of all rows, no more")
    arguments = parser.parse_args()
    if arguments.epochs is not None and arguments.epochs < 1:
        parser.error(f"expected --epochs of 1 or more, found {arguments.epochs}")
    torch.set_num_threads(1)
    os.environ["LSNTP_DATA"] = str(arguments.data.resolve())
    seeds = 1 if arguments.quick else arguments.seeds
    out = arguments.out.resolve()
    benches = [
        Bench(
            case,
            0.3 if arguments.quick else arguments.minutes or case.minutes,
            out,
            arguments.epochs,
        )
        for case in CASES
        if arguments.domain in (None, case.domain)
    ]

    if arguments.pace:
        for bench, row, _ in order(benches, seeds=1):
            print(f"{bench.case.domain}: {row.name}: {bench.pace(row):.3f} minutes an epoch")
        return

    def write() -> str:
        text = "\n\n".join([*(table(bench, seeds) for bench in benches), machine()])
        (out / "skill_table.md").write_text(text + "\n", encoding="utf-8")
        return text

    for bench, row, seed in order(benches, seeds):
        if arguments.only is not None and row.name not in arguments.only:
            continue
        if bench.path(row, seed).exists():
            continue
        bench.fit(row, seed)
        write()
    print(write())


if __name__ == "__main__":
    main()
