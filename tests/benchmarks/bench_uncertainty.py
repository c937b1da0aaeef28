"""What calibration is worth: CRPS, spread and coverage on the test block, before and after.

Run: LSNTP_DATA=... OMP_NUM_THREADS=1 python tests/benchmarks/bench_uncertainty.py \
         ncep-north-america lsntp-plus

The model must be trained; nothing is stored. A version without quantiles is calibrated on the
validation block first. "members" is the ensemble as it is (of one member the CRPS is the MAE),
"calibrated" its quantiles. All figures are area-weighted, by lead and in the mean.
"""

import argparse
import time

import numpy as np

from lsntp.config import Domain, load_domain
from lsntp.evaluation.crps import crps
from lsntp.grid import Fields, Floats
from lsntp.training.calibrating import calibrated, usable_times
from lsntp.training.history import open_analysis, read_fields
from lsntp.training.loading import load_forecaster
from lsntp.training.network import BATCH, NetworkForecaster
from lsntp.training.versions import latest_version
from lsntp.training_data.splits import make_split
from lsntp.workspace import Workspace


def ensemble_crps(members: Floats, truth: Fields) -> Floats:
    """The CRPS of members (n, M, …) as equally likely values: mean |x - y| - ½ mean |x - x'|."""
    pairs = sum(np.abs(members - members[:, [one]]).mean(axis=1) for one in range(members.shape[1]))
    return np.abs(members - truth[:, None]).mean(axis=1) - 0.5 * pairs / members.shape[1]


def measure(domain: Domain, model: str) -> None:
    """Print the table of one model."""
    version = latest_version(Workspace.of(domain).models, model)
    if version is None:
        raise SystemExit(f"No version of {model}; run `lsntp train {domain.domain}`.")
    forecaster = load_forecaster(version, domain)
    if not isinstance(forecaster, NetworkForecaster):
        raise SystemExit(f"{model} is no network.")
    analysis, split = open_analysis(domain), make_split(domain, open_analysis(domain))
    begin = time.process_time()
    if forecaster.calibration is None:
        forecaster = calibrated(forecaster, analysis, split.validation)
    seconds = time.process_time() - begin
    init_times = usable_times(forecaster, analysis, split.test)
    steps = tuple(int(step) for step in domain.lead_times // domain.cadence)
    weights = domain.target_grid.area_weights
    rows = []
    for first in range(0, init_times.size, BATCH):
        batch = init_times[first : first + BATCH]
        history = read_fields(analysis, batch, forecaster.offsets)
        truth = read_fields(analysis, batch, steps).astype(np.float64)
        members = forecaster.members(history, batch).astype(np.float64)
        quantiles = np.asarray(forecaster.forecast_with_quantiles(history, batch)[1], np.float64)
        mean = members.mean(axis=1)
        fields = [
            np.abs(mean - truth),
            (mean - truth) ** 2,
            ensemble_crps(members, truth),
            members.var(axis=1, ddof=1) if members.shape[1] > 1 else np.zeros_like(mean),
            crps(quantiles, truth, axis=1),
            quantiles.var(axis=1, ddof=1),
            (quantiles[:, 0] < truth) & (truth <= quantiles[:, -1]),
            (quantiles[:, 2] < truth) & (truth <= quantiles[:, -3]),
        ]
        rows.append([np.einsum("nkhw,hw->k", field, weights / weights.sum()) for field in fields])
    mae, square, raw, spread, score, wide, inside90, inside50 = (
        np.sum(rows, axis=0) / init_times.size
    )
    print(f"{version.version}: {len(forecaster.networks)} members, {init_times.size} forecasts")
    print(f"calibrated in {seconds:.0f} s of CPU, forecasts of validation included")
    for name, values in {
        "MAE, K": mae,
        "CRPS of members, K": raw,
        "CRPS calibrated, K": score,
        "spread / RMSE of members": np.sqrt(spread / square),
        "spread / RMSE calibrated": np.sqrt(wide / square),
        "inside 90 %": inside90,
        "inside 50 %": inside50,
    }.items():
        shown = " ".join(f"{value:6.3f}" for value in values)
        print(f"{name:26} {shown}   mean {values.mean():.3f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("domain")
    parser.add_argument("models", nargs="+")
    arguments = parser.parse_args()
    domain = load_domain(arguments.domain)
    for model in arguments.models:
        measure(domain, model)


if __name__ == "__main__":
    main()
