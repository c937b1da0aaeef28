"""What a training archive holds, read back by plain xarray."""

import json

import numpy as np
import pytest
import xarray as xr
import yaml

from lsntp.names import Status
from lsntp.training_data.archive import build_training_archive


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "training" / "tiny"


def test_plain_xarray_reads_normalised_fields_back_to_kelvin(domain, make_archive, folder):
    analysis = make_archive().lose(50)
    analysis.status[51] = Status.PRELIMINARY
    built = build_training_archive(domain, analysis, folder, "standard")
    with xr.open_zarr(built.path, chunks=None) as dataset:
        assert dataset.x.dims == ("time", "channel", "latitude", "longitude")
        assert dataset.x.dtype == np.float32
        assert dataset.channel.values.tolist() == ["t2m"]
        statistics = json.loads(dataset.attrs["statistics"])
        kelvin = dataset.x[:, 0].values * statistics["std"] + statistics["mean"]
        # ten days of training and five of validation; the test block is left out
        np.testing.assert_allclose(kelvin, analysis.fields[: 24 * 15], atol=1e-4)
        assert np.isnan(kelvin[50]).all()
        np.testing.assert_array_equal(dataset.status, analysis.status[: 24 * 15])
        np.testing.assert_array_equal(dataset.time, analysis.times[: 24 * 15])
        np.testing.assert_array_equal(dataset.latitude, analysis.grid.latitude)
        assert dataset.attrs["synthetic"] == "true"
        assert dataset.attrs["training_period"] == "2021-01-01T00:00Z..2021-01-11T00:00Z"
        assert yaml.safe_load(dataset.attrs["lsntp_configuration"])["domain"] == "tiny"


@pytest.mark.parametrize(("scaling", "low"), [("min-max-01", 0), ("min-max-11", -1)])
def test_min_max_scaling_spans_its_range_over_training(domain, archive, folder, scaling, low):
    built = build_training_archive(domain, archive, folder, scaling)
    x = built.read(0, 240)
    assert (x.min(), x.max()) == (pytest.approx(low, abs=1e-6), pytest.approx(1, abs=1e-6))


def test_chunks_are_days_and_shards_are_months(make_domain, make_archive, folder):
    analysis = make_archive(24 * 100)
    domain = make_domain(
        train=("2021-01-01", "2021-03-12"),
        validation=("2021-03-12", "2021-04-01"),
        test=("2021-04-01", "2021-04-11"),
    )
    with xr.open_zarr(
        build_training_archive(domain, analysis, folder, "standard").path, chunks=None
    ) as hourly:
        assert hourly.x.encoding["chunks"][0] == 24
        assert hourly.x.encoding["shards"][0] == 720
        np.testing.assert_allclose(
            hourly.x[:, 0].std("time"), analysis.fields[:2160].std(0) /
            json.loads(hourly.attrs["statistics"])["std"], rtol=1e-3
        )  # fmt: skip


def test_six_hourly_chunks_hold_a_month(make_domain, make_archive, folder):
    analysis = make_archive(4 * 20, cadence_h=6)
    built = build_training_archive(make_domain(cadence_h=6), analysis, folder, "standard")
    with xr.open_zarr(built.path, chunks=None) as dataset:
        assert (dataset.x.encoding["chunks"][0], dataset.x.encoding["shards"][0]) == (120, 120)


def test_blocks_are_written_without_holding_the_period(domain, archive, folder, monkeypatch):
    longest = []
    plain = type(archive).read
    monkeypatch.setattr("lsntp.training_data.normalised.SHARD_FRAMES", 48)
    monkeypatch.setattr("lsntp.training_data.statistics.block_frames", lambda grid: 48)
    monkeypatch.setattr(
        type(archive),
        "read",
        lambda self, times: (longest.append(times.size), plain(self, times))[1],
    )
    build_training_archive(domain, archive, folder, "standard")
    # the statistics reach one horizon of two hours past each block
    assert max(longest) == 50
