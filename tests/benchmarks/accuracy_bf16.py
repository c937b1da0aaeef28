"""What bfloat16 costs in accuracy on real data: errors beside the spread of float32's seeds.

Run: LSNTP_DATA=FOLDER python tests/benchmarks/accuracy_bf16.py [--seeds 3] [--epochs 2]

Trains ``lsntp-increment`` of the preset ncep-north-america by the ordinary command path, once a
seed and precision, one after the other, and prints the MAE over validation and test of every
version. Bfloat16 passes if the distance of its mean from float32's is no more than the range of
the float32 seeds, in validation and in test; the exit code says so. Everything is kept below
``--root``, so that a run that was interrupted goes on.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

from lsntp.archives.analysis import AnalysisArchive
from lsntp.config import Domain, load_domain
from lsntp.ingest import ingest
from lsntp.times import Period
from lsntp.training.fit import train
from lsntp.training.network import restore_network
from lsntp.training.scores import validation_scores
from lsntp.training.versions import open_version
from lsntp.training_data.splits import make_split
from lsntp.workspace import Workspace

PRESET = "ncep-north-america"
NETWORK = "lsntp-increment"
PRECISIONS = ("float32", "bfloat16")


def domain_of(epochs: int, seeds: int, root: Path) -> Domain:
    """The preset with one network for every precision and seed, named after them."""
    preset = load_domain(PRESET)
    content = preset.model_dump(mode="json")
    plain = content["networks"][NETWORK]
    content["networks"] = {
        f"{precision}-{seed}": plain
        | {
            "training": plain["training"]
            | {"epochs": epochs, "seed": seed, "precision": precision, "devices": 1}
        }
        for seed in range(seeds)
        for precision in PRECISIONS
    }
    return Domain.model_validate(content | {"root": str(root)})


def ingest_once(domain: Domain) -> AnalysisArchive:
    """The analysis archive of the whole period of the sample."""
    ingest(domain, period=Period(domain.start, domain.split.test.period.end))
    return AnalysisArchive.open(Workspace.of(domain).analysis)


def mae_k(domain: Domain, analysis: AnalysisArchive, model: str) -> dict[str, float]:
    """Train one model and score it: MAE (K) over leads, windows and cells, and its CPU seconds."""
    begin = time.process_time()
    (report,) = train(domain, models=[model])
    seconds = time.process_time() - begin
    forecaster = restore_network(open_version(Workspace.of(domain).models, report.version), domain)
    split = make_split(domain, analysis)
    found = {}
    for name, init_times in (("validation", split.validation), ("test", split.test)):
        scores = validation_scores(forecaster, analysis, init_times, domain.lead_times)
        if scores is None:
            sys.exit(f"Expected windows in {name}, found none; look at {domain.root}.")
        found[name] = statistics.fmean(scores.to_dict()["mae_k"])
    return found | {"seconds": seconds}


def main() -> None:
    """Train, print a line a version, then the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--root", type=Path, default=Path("accuracy-bf16"))
    options = parser.parse_args()
    if "LSNTP_DATA" not in os.environ:
        parser.error("expected LSNTP_DATA, the folder with ncep/air.sig995.namerica.*.nc")
    domain = domain_of(options.epochs, options.seeds, options.root)
    analysis = ingest_once(domain)
    print(f"{'model':12} {'validation MAE, K':>18} {'test MAE, K':>12} {'CPU s':>8}")
    found: dict[str, list[dict[str, float]]] = {precision: [] for precision in PRECISIONS}
    for model in domain.networks:
        line = mae_k(domain, analysis, model)
        found[model.partition("-")[0]].append(line)
        print(
            f"{model:12} {line['validation']:18.4f} {line['test']:12.4f} {line['seconds']:8.0f}",
            flush=True,
        )
    passed = True
    for part in ("validation", "test"):
        full, half = ([line[part] for line in found[precision]] for precision in PRECISIONS)
        spread = max(full) - min(full)
        distance = statistics.fmean(half) - statistics.fmean(full)
        passed &= abs(distance) <= spread
        print(
            f"{part}: float32 {statistics.fmean(full):.4f} K, range of {len(full)} seeds "
            f"{spread:.4f} K; bfloat16 {statistics.fmean(half):.4f} K, {distance:+.4f} K apart"
        )
    print("bfloat16 is within the spread of float32." if passed else "bfloat16 is NOT within it.")
    sys.exit(not passed)


if __name__ == "__main__":
    main()
