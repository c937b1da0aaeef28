"""Mean absolute errors on real analyses, against published reference figures."""

from dataclasses import dataclass
from pathlib import Path

import eccodes
import numpy as np
import pytest
import xarray as xr

from lsntp.config import BASELINES
from lsntp.grid import Fields
from lsntp.models.baselines import make_baseline
from lsntp.models.ridge import fit_ridge
from lsntp.times import Duration, Period, Times, hours
from lsntp.training_data.climatology import Climatology


@dataclass
class _Analyses:
    times: Times
    frames: Fields
    cadence: Duration
    train: Period
    test: Period

    def read(self, times: Times) -> Fields:
        return self.frames[np.searchsorted(self.times, times)]

    def read_training(self, times: Times) -> Fields:
        """As an archive would, but blind outside the training period."""
        frames = self.read(np.clip(times, self.times[0], self.times[-1]))
        frames[~self.train.contains(times)] = np.nan
        return frames


def _hourly_means(data: _Analyses) -> Climatology:
    """Plain means by hour of day over the training period."""
    inside = data.train.contains(data.times)
    hour = (data.times - data.times.astype("datetime64[D]")) / np.timedelta64(1, "h")
    present = np.unique(hour)
    means = [data.frames[inside & (hour == h)].mean(axis=0, dtype=float) for h in present]
    return Climatology(np.stack(means)[:, None].astype(np.float32), present)


def _mean_absolute_errors(data: _Analyses) -> dict[str, float]:
    """Mean over cells, initial times and six leads, of windows of 6 + 6 inside the test period."""
    leads, climatology = np.arange(1, 7) * data.cadence, _hourly_means(data)
    within = data.test.contains(data.times - 5 * data.cadence)
    init_times = data.times[within & data.test.contains(data.times + leads[-1])]
    truth = np.stack([data.read(init_times + lead) for lead in leads], axis=1)
    scores = {}
    for name in BASELINES:
        if name == "ridge":
            model = fit_ridge(
                data.read_training,
                data.times[data.train.contains(data.times)],
                climatology=climatology,
                lead_times=leads,
                cadence=data.cadence,
                penalty=1.0,
            )
        else:
            model = make_baseline(
                name, climatology=climatology, lead_times=leads, cadence=data.cadence
            )
        history = np.stack(
            [data.read(init_times + offset * data.cadence) for offset in model.offsets], axis=1
        )
        error = np.abs(model.forecast(history, init_times) - truth)
        scores[name] = float(error.mean(dtype=float))
    return scores


def test_scores_on_ncep_north_america(shared_data: Path) -> None:
    path = shared_data / "ncep" / "air.sig995.namerica.2013-01_2014-04.nc"
    with xr.open_dataset(path) as dataset:
        times = dataset.time.values.astype("datetime64[ns]")
        frames = dataset.air.values.astype(np.float32)
    scores = _mean_absolute_errors(
        _Analyses(
            times,
            frames,
            hours(6),
            Period.parse("2013-01-01", "2014-01-01"),
            Period.parse("2014-03-01", "2014-05-01"),
        )
    )
    assert scores["persistence"] == pytest.approx(2.765, abs=0.001)
    assert scores["persistence-climatological-increment"] == pytest.approx(2.282, abs=0.001)
    assert scores["ridge"] == pytest.approx(2.002, abs=0.001)


def test_scores_on_era5_british_isles(shared_data: Path) -> None:
    times, frames = _read_grib(shared_data / "era5" / "era5_t2m_1h_uk_2019-03.grib", (33, 49))
    scores = _mean_absolute_errors(
        _Analyses(
            times,
            frames,
            hours(1),
            Period.parse("2019-03-01", "2019-03-22"),
            Period.parse("2019-03-23", "2019-04-01"),
        )
    )
    assert scores["persistence"] == pytest.approx(1.011, abs=0.001)
    assert scores["diurnal-persistence"] == pytest.approx(1.053, abs=0.001)
    assert scores["climatology"] == pytest.approx(1.275, abs=0.001)
    assert scores["persistence-climatological-increment"] == pytest.approx(0.686, abs=0.001)
    assert scores["persistence-diurnal-increment"] == pytest.approx(0.662, abs=0.001)
    assert scores["ridge"] == pytest.approx(0.61, rel=0.02)


def _read_grib(path: Path, shape: tuple[int, int]) -> tuple[Times, Fields]:
    times, frames = [], []
    with path.open("rb") as stream:
        while (message := eccodes.codes_grib_new_from_file(stream)) is not None:
            day = str(eccodes.codes_get(message, "validityDate"))
            hour = eccodes.codes_get(message, "validityTime") // 100
            times.append(np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:]}T{hour:02d}", "ns"))
            frames.append(eccodes.codes_get_values(message).reshape(shape).astype(np.float32))
            eccodes.codes_release(message)
    return np.array(times), np.stack(frames)
