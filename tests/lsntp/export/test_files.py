"""What is written: netCDF by CF-1.11, tidy CSV, whole or absent."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from xarray.backends.netCDF4_ import NetCDF4ArrayWrapper

from lsntp.config import Domain
from lsntp.errors import ArchiveError, ConfigError, StorageError
from lsntp.export import files
from lsntp.export.files import write_csv, write_file
from lsntp.export.selection import Selection, parse_initial, select_forecasts
from lsntp.grid import Fields
from lsntp.workspace import Workspace
from tests.exported import INITS, VERSION, values

EVERY = parse_initial("..")


def cf_faults(path: Path) -> list[str]:
    """What the IOOS compliance checker calls errors; in its own process, as elsewhere."""
    checker = Path(sys.executable).with_name("compliance-checker")
    options = ["--test", "cf:1.11", "--format", "json", "--output", "report.json"]
    subprocess.run(
        [checker, *options, path.name], cwd=path.parent, capture_output=True, check=False
    )
    report = json.loads((path.parent / "report.json").read_text())["cf:1.11"]
    assert report["high_count"] > 0 or report["all_priorities"]
    return [fault for check in report["high_priorities"] for fault in check["msgs"]]


def with_quantiles(chosen: Selection) -> Selection:
    """The same with a field that has a dimension more: 1 K below and above."""
    t2m = chosen.dataset["t2m"]
    about = {"long_name": "probability that the temperature is no higher", "units": "1"}
    quantile = xr.DataArray([0.1, 0.9], dims="quantile", attrs=about)
    spread = xr.DataArray([-1.0, 1.0], {"quantile": quantile}, ("quantile",))
    field = (t2m + spread).transpose("init_time", "quantile", "lead_time", ...).astype("float32")
    field = field.assign_attrs(t2m.attrs)
    return Selection(chosen.dataset.assign(t2m_quantile=field), chosen.model, chosen.where)


@pytest.mark.parametrize(
    "options",
    [{}, {"place": (51.2, 2.0)}, {"unit": "celsius"}],
    ids=["all", "place", "celsius"],
)
def test_netcdf_is_free_of_faults_against_cf_1_11(
    domain: Domain, tmp_path: Path, options: dict[str, object]
) -> None:
    path = write_file(select_forecasts(domain, initial=EVERY, **options), tmp_path / "out.nc")
    assert cf_faults(path) == []


def test_quantiles_go_along_and_are_free_of_faults_against_cf(
    domain: Domain, tmp_path: Path
) -> None:
    path = write_file(with_quantiles(select_forecasts(domain)), tmp_path / "out.nc")
    with xr.open_dataset(path) as found:
        np.testing.assert_array_equal(
            found["t2m_quantile"].sel(quantile=0.9), values(INITS[-1:]) + 1
        )
    assert cf_faults(path) == []


def test_plain_xarray_opens_netcdf_decoded_with_where_it_comes_from(
    domain: Domain, tmp_path: Path
) -> None:
    path = write_file(select_forecasts(domain, initial=EVERY), tmp_path / "out.nc")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with xr.open_dataset(path) as found:
            found.load()
    np.testing.assert_array_equal(found["t2m"], values(INITS))
    assert found["init_time"].values.tolist() == INITS.tolist()
    assert (found["valid_time"] == found["init_time"] + found["lead_time"]).all()
    assert found["lead_time"].dtype == np.dtype("timedelta64[ns]")
    assert set(found["model_version"].values) == {VERSION}
    assert found["analysis_status"].attrs["flag_meanings"].split()[1] == "preliminary"
    assert found["analysis_status"].values.tolist() == [1, 1, 1]
    assert found.attrs["Conventions"] == "CF-1.11"
    assert "exported champion, all cells" in found.attrs["history"]


def test_csv_has_a_row_for_each_initial_time_lead_time_and_cell(domain: Domain) -> None:
    stream = io.StringIO()
    write_csv(select_forecasts(domain, initial=EVERY, place=(51.0, 2.0)), stream)
    # 270 K, 10 for the second row, 2 * 0.5 for the third column, 0.25 for the second lead
    assert stream.getvalue().splitlines() == [
        "init_time,lead_time_h,valid_time,latitude,longitude,t2m,model_version",
        f"2024-01-29T00:00:00Z,6.0,2024-01-29T06:00:00Z,51.0,2.0,281.0,{VERSION}",
        f"2024-01-29T00:00:00Z,12.0,2024-01-29T12:00:00Z,51.0,2.0,281.25,{VERSION}",
        f"2024-01-29T06:00:00Z,6.0,2024-01-29T12:00:00Z,51.0,2.0,282.0,{VERSION}",
        f"2024-01-29T06:00:00Z,12.0,2024-01-29T18:00:00Z,51.0,2.0,282.25,{VERSION}",
        f"2024-01-29T18:00:00Z,6.0,2024-01-30T00:00:00Z,51.0,2.0,284.0,{VERSION}",
        f"2024-01-29T18:00:00Z,12.0,2024-01-30T06:00:00Z,51.0,2.0,284.25,{VERSION}",
    ]


def test_csv_of_all_cells_gives_the_stored_numbers_back_whatever_the_blocks(
    domain: Domain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BLOCK_VALUES", 24)  # one forecast a block
    path = write_file(select_forecasts(domain, initial=EVERY), tmp_path / "out.csv")
    table = pd.read_csv(path, dtype={"t2m": np.float32}, parse_dates=["init_time", "valid_time"])
    assert len(table) == 3 * 2 * 3 * 4
    index = ["init_time", "lead_time_h", "latitude", "longitude"]
    cube = table.set_index(index)["t2m"].to_xarray().sortby("latitude", ascending=False)
    np.testing.assert_array_equal(cube, values(INITS))
    assert str(table["valid_time"].dtype).endswith("UTC]")


def test_csv_has_a_column_for_each_quantile(domain: Domain) -> None:
    stream = io.StringIO()
    write_csv(with_quantiles(select_forecasts(domain, place=(51, 2))), stream)
    names, first, _ = stream.getvalue().splitlines()
    assert names.endswith("longitude,t2m,t2m_quantile_0.1,t2m_quantile_0.9,model_version")
    assert first.endswith(f"284.0,283.0,285.0,{VERSION}")


@pytest.mark.parametrize("name", ["out.nc", "out.csv"])
def test_a_file_that_is_there_is_replaced_only_when_told(
    domain: Domain, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_text("mine")
    with pytest.raises(ConfigError, match="--force to replace"):
        write_file(select_forecasts(domain), path)
    assert path.read_text() == "mine"
    write_file(select_forecasts(domain), path, force=True)
    assert path.read_bytes()[:4] != b"mine"


@pytest.mark.parametrize(
    ("name", "said"),
    [("out.xlsx", "ends in .nc"), ("none/out.nc", "Expected a folder"), ("there.nc", "the folder")],
)
def test_a_path_that_cannot_be_written_is_refused(
    domain: Domain, tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "there.nc").mkdir()
    with pytest.raises(ConfigError, match=said):
        write_file(select_forecasts(domain), tmp_path / name)


@pytest.mark.parametrize("name", ["out.nc", "out.csv"])
def test_a_damaged_forecast_is_refused_and_no_file_is_left(
    domain: Domain, tmp_path: Path, name: str
) -> None:
    (chunk,) = (Workspace.of(domain).forecast("champion") / "t2m" / "c").glob("39/0/0/0")
    content = bytearray(chunk.read_bytes())
    content[20] ^= 1
    chunk.write_bytes(content)
    (tmp_path / name).write_text("before")
    with pytest.raises(ArchiveError, match=r"found damage.*lsntp repair"):
        write_file(select_forecasts(domain, initial=EVERY), tmp_path / name, force=True)
    assert (tmp_path / name).read_text() == "before"
    assert [file.name for file in tmp_path.glob(".*")] == []


def test_a_block_being_written_when_another_fails_leaves_no_file(
    domain: Domain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by a run in which a thread opened the file again after it had been removed."""
    is_writing = threading.Event()
    write = NetCDF4ArrayWrapper.__setitem__

    def write_late(self: NetCDF4ArrayWrapper, key: Any, value: Any) -> None:
        is_writing.set()
        time.sleep(0.2)
        write(self, key, value)

    def fault(block: Fields, block_info: dict[int, dict[str, Any]]) -> Fields:
        if block_info[0]["chunk-location"][0] == 0:
            assert is_writing.wait(30)
            raise ArchiveError("found damage")
        return block

    monkeypatch.setattr(NetCDF4ArrayWrapper, "__setitem__", write_late)
    chosen = select_forecasts(domain, initial=EVERY)
    t2m = chosen.dataset["t2m"]
    faulty = t2m.copy(data=t2m.data.map_blocks(fault, dtype=t2m.dtype))
    faulty_one = Selection(chosen.dataset.assign(t2m=faulty), chosen.model, chosen.where)
    with pytest.raises(ArchiveError, match="found damage"):
        write_file(faulty_one, tmp_path / "out.nc")
    time.sleep(1)
    assert list(tmp_path.glob("*.nc*")) + list(tmp_path.glob(".*")) == []


FULL = """
import sys
from pathlib import Path
import numpy as np
from lsntp.config import load_domain
from lsntp.errors import StorageError
from lsntp.export.files import write_file
from lsntp.export.selection import parse_initial, select_forecasts
domain, target = load_domain(sys.argv[1]), Path(sys.argv[2])
target.write_text("before")
try:
    write_file(select_forecasts(domain, initial=parse_initial("..")), target, force=True)
except StorageError as error:
    print(error)
print(target.read_text(), sorted(file.name for file in target.parent.iterdir()))
"""


@pytest.mark.parametrize("name", ["out.nc", "out.csv"])
def test_a_full_disk_is_said_and_leaves_the_file_that_was_there(
    domain: Domain, tmp_path: Path, name: str
) -> None:
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    mounting = 'mount -t tmpfs -o size=8k tmpfs "$1" && shift && exec "$@"'
    (tmp_path / "disk").mkdir()
    target = str(tmp_path / "disk" / name)
    command = [sys.executable, "-c", FULL, str(tmp_path / "small.yaml"), target]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mounting, "sh", str(tmp_path / "disk"), *command],
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout.splitlines()
    assert len(said) == 2, done.stderr
    assert "free space" in said[0]
    assert said[1] == f"before ['{name}']"


KILLED = """
import os, signal, sys
from pathlib import Path
from lsntp import durable
from lsntp.config import load_domain
from lsntp.export.files import write_file
from lsntp.export.selection import select_forecasts
durable.flush = lambda path: os.kill(os.getpid(), signal.SIGKILL)
write_file(select_forecasts(load_domain(sys.argv[1])), Path(sys.argv[2]))
"""


def test_what_a_kill_leaves_is_removed_by_the_next_export(domain: Domain, tmp_path: Path) -> None:
    target = tmp_path / "out.nc"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "small.yaml"), str(target)], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert not target.exists()
    assert len(list(tmp_path.glob(".out.nc.*.partial"))) == 1
    alive = tmp_path / f".out.nc.{socket.gethostname()}.{os.getppid()}.partial"
    alive.write_text("another export, still at work")
    write_file(select_forecasts(domain), target)
    assert target.exists()
    assert list(tmp_path.glob(".out.nc.*.partial")) == [alive]


def test_a_file_that_reads_back_otherwise_is_never_published(
    domain: Domain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = xr.Dataset.to_netcdf

    def to_netcdf(self: xr.Dataset, *arguments: object, **options: object) -> object:
        return original(self.assign(t2m=self["t2m"] + 1), *arguments, **options)

    monkeypatch.setattr(xr.Dataset, "to_netcdf", to_netcdf)
    with pytest.raises(StorageError, match="read something else"):
        write_file(select_forecasts(domain), tmp_path / "out.nc")
    assert not (tmp_path / "out.nc").exists()
