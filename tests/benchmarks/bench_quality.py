"""CPU time until a network is as good as it will be: one core, validation MAE after every epoch.

Run: LSNTP_DATA=... OMP_NUM_THREADS=1 python tests/benchmarks/bench_quality.py \
         ncep-north-america lsntp-plus convnet --epochs 5

The domain must be ingested. Nothing is stored but training archives. Every network is trained
as its domain says, with the loss on the mean absolute error; the time is that of this process,
data and validation included. "to 1.05 x" is the CPU time after which the validation MAE is never
again above 1.05 times its value at the end, and it is known to an epoch: the second number is the
length of one.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lsntp.config import Domain, NetworkConfig, load_domain
from lsntp.models.registry import parameter_count
from lsntp.training.fit import prepare
from lsntp.training.history import open_analysis
from lsntp.training.network import make_forecaster, untrained_network
from lsntp.training.network_fit import fit_network
from lsntp.training_data.forced_windows import ForcedWindows
from lsntp.training_data.splits import make_split, with_longer_history
from lsntp.training_data.windows import Windows


@dataclass
class Clocked:
    """Windows that note the CPU time at which an epoch's validation begins, and its errors."""

    windows: Windows | ForcedWindows
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.init_times = self.windows.init_times

    def __len__(self) -> int:
        return len(self.windows)

    def order(self, numbers: np.random.Generator) -> list[int]:
        """As the windows."""
        return self.windows.order(numbers)

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """As the windows; the first of an epoch is noted."""
        if indices[0] == 0:
            self.seconds.append(time.process_time())
        return self.windows.batch(indices)


class ToldClocked(Clocked):
    """The same, of windows with forcings."""

    windows: ForcedWindows

    def told(self, indices: Sequence[int]) -> tuple[Tensor | None, Tensor | None]:
        """As the windows."""
        return self.windows.told(indices)


def clock(windows: Windows | ForcedWindows) -> Clocked:
    """The windows with a clock, which tell what they told before."""
    return ToldClocked(windows) if isinstance(windows, ForcedWindows) else Clocked(windows)


def measure(domain: Domain, name: str, epochs: int) -> str:
    """Train one network; a line of the table."""
    config = domain.networks[name]
    training = config.training.model_copy(
        update={"epochs": epochs, "patience": epochs, "loss": "mae", "max_minutes": None}
    )
    config = NetworkConfig.model_validate(
        {**config.model_dump(), "training": training.model_dump(), "target": "absolute"}
    )
    (archive,) = [
        found
        for found in prepare(domain.model_copy(update={"networks": {name: config}}))
        if found.scaling == config.scaling
    ]
    torch.manual_seed(training.seed)
    network = untrained_network(config, domain)
    forecaster = make_forecaster(name, [network], config, archive.statistics, domain)
    frames = len(forecaster.offsets)
    steps = {"history": frames, "horizon": domain.horizon}
    analysis = open_analysis(domain)
    split = make_split(domain, analysis)
    blocks: list[Windows | ForcedWindows] = []
    for whole in (split.train, split.validation):
        init_times = with_longer_history(domain, analysis, whole, frames)
        windows = Windows(archive, init_times, forecaster.transform, **steps)
        forcings = forecaster.forcings
        blocks.append(ForcedWindows(windows, forcings) if forcings else windows)
    clocked = clock(blocks[1])
    with tempfile.TemporaryDirectory() as folder:
        begin = time.process_time()
        fit_network(
            network, blocks[0], clocked, config=training, folder=Path(folder), description=name
        )
        rows = (Path(folder) / "metrics.csv").read_text().splitlines()[1:]
    mae = [float(row.split(",")[-1]) * archive.scaler.factor for row in rows]
    minutes = [(moment - begin) / 60 for moment in clocked.seconds]
    late = [number for number, value in enumerate(mae) if value > 1.05 * mae[-1]]
    reached = minutes[late[-1] + 1 if late else 0]
    history = " ".join(f"{value:.3f}" for value in mae)
    return (
        f"{name:16} {parameter_count(network):10,d} {reached:8.2f} ± {minutes[0]:.2f} "
        f"{minutes[-1]:9.2f} {mae[-1]:8.3f}   {history}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("domain")
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    domain = load_domain(arguments.domain)
    height, width = domain.target_grid.shape
    print(f"{domain.domain}: {height} x {width} cells, CPU minutes, validation MAE in K")
    print(f"{'network':16} {'parameters':>10} {'to 1.05 x':>15} {'all':>9} {'MAE':>8}   by epoch")
    for name in arguments.networks:
        print(measure(domain, name, arguments.epochs), flush=True)


if __name__ == "__main__":
    main()
