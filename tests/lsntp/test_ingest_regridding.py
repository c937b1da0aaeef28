"""Where the regridding of an ingest runs: local threads, or the Dask cluster that is named."""

import threading

import pytest
import xarray as xr
from distributed import LocalCluster, get_worker

import lsntp.dask_cluster
from lsntp.errors import ClusterError
from lsntp.regrid import ConservativeWeights
from tests.lsntp.ingest_files import make_domain, run, weather, write


def places_of_regridding(monkeypatch) -> set[str]:
    """Where weights are applied from now on: addresses of Dask workers, or kinds of threads."""
    places: set[str] = set()
    original = ConservativeWeights.apply

    def apply(self, frames):
        try:
            places.add(get_worker().address)
        except ValueError:
            places.add(threading.current_thread().name.split("-")[0])
        return original(self, frames)

    monkeypatch.setattr(ConservativeWeights, "apply", apply)
    return places


def test_regridding_runs_on_local_threads_unless_told_otherwise(tmp_path, monkeypatch):
    write(tmp_path / "a.nc", weather(48))
    places = places_of_regridding(monkeypatch)
    run(make_domain(tmp_path))
    assert places == {"ThreadPoolExecutor"}


def test_a_dask_cluster_does_the_regridding_and_gives_the_same_bytes(tmp_path, monkeypatch):
    write(tmp_path / "a.nc", weather(48))
    run(make_domain(tmp_path, root=str(tmp_path / "local")))
    places = places_of_regridding(monkeypatch)
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster:
        domain = make_domain(
            tmp_path,
            root=str(tmp_path / "cluster"),
            **{"dask.cluster": cluster.scheduler_address},
        )
        run(domain)
        assert places == {worker.worker_address for worker in cluster.workers.values()}
    xr.testing.assert_identical(
        xr.open_zarr(tmp_path / "local/analysis/tiny.zarr", chunks=None).drop_attrs().load(),
        xr.open_zarr(tmp_path / "cluster/analysis/tiny.zarr", chunks=None).drop_attrs().load(),
    )


def test_a_cluster_that_does_not_answer_is_named_and_nothing_is_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(lsntp.dask_cluster, "CONNECT_TIMEOUT_S", 0.2)
    write(tmp_path / "a.nc", weather())
    with pytest.raises(ClusterError, match=r"tcp://127\.0\.0\.1:9.*dask\.cluster to local"):
        run(make_domain(tmp_path, **{"dask.cluster": "tcp://127.0.0.1:9"}))
    assert not (tmp_path / "root").exists()
