"""Make remapcon.json with CDO (Debian package cdo, here 2.1.1): golden values for regridding.

Run it in this folder: ``python make_remapcon.py``. For every case it writes the input field as
netCDF, describes the target grid, and runs

    cdo -s -b F64 remapcon,target.txt source.nc expected.nc
"""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import xarray as xr


def field(latitude, longitude, seed):
    """A smooth wave, a gradient to the pole and 1 K of noise, to 0.01 K."""
    lat, lon = np.radians(np.meshgrid(latitude, longitude, indexing="ij"))
    smooth = 285 - 40 * np.sin(lat) ** 2 + 8 * np.sin(3 * lon) * np.cos(lat)
    noise = np.random.default_rng(seed).normal(0, 1, lat.shape)
    return np.round(smooth + noise, 2)


def lonlat(latitude, longitude):
    return "\n".join(
        [
            "gridtype = lonlat",
            f"xsize = {len(longitude)}",
            f"ysize = {len(latitude)}",
            "xvals = " + " ".join(map(repr, map(float, longitude))),
            "yvals = " + " ".join(map(repr, map(float, latitude))),
        ]
    )


def gaussian_latitudes(count):
    nodes, _ = np.polynomial.legendre.leggauss(count)
    return np.degrees(np.arcsin(nodes))[::-1]


GLOBE_5 = (np.arange(90, -91, -5.0), np.arange(0, 360, 5.0))
T62 = gaussian_latitudes(94)
CASES = {
    "regional to half resolution, domain edge and Greenwich inside": (
        (np.arange(52, 48.9, -0.25), np.arange(-2, 2.1, 0.25)),
        (np.arange(52, 48.9, -0.5), np.arange(-2, 2.1, 0.5)),
    ),
    "regional to the T62 Gaussian grid": (
        (np.arange(60, 39, -1.0), np.arange(-8, 9, 1.0)),
        (T62[(T62 < 58) & (T62 > 42)], np.arange(-5.625, 5.7, 1.875)),
    ),
    "global to regional with the pole, across Greenwich": (
        GLOBE_5,
        (np.arange(90, 59, -2.5), np.arange(-15, 21, 3.75)),
    ),
    "global to a global Gaussian grid": (
        GLOBE_5,
        (gaussian_latitudes(48), np.arange(0, 360, 30.0)),
    ),
    "global to the southern T62 rows, past the date line": (
        GLOBE_5,
        (T62[T62 < -80], np.arange(165, 181, 1.875)),
    ),
    "global T62 rows to a regular polar cap": (
        (T62, np.arange(0, 360, 15.0)),
        (np.arange(90, 79, -2.0), np.arange(-30, 31, 10.0)),
    ),
}


def main():
    golden = {}
    for seed, (name, (source, target)) in enumerate(CASES.items()):
        values = field(*source, seed)
        degrees = {"lat": {"units": "degrees_north"}, "lon": {"units": "degrees_east"}}
        dataset = xr.Dataset(
            {"t2m": (("lat", "lon"), values, {"units": "K"})},
            {"lat": ("lat", source[0], degrees["lat"]), "lon": ("lon", source[1], degrees["lon"])},
        )
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            dataset.to_netcdf(work / "source.nc")
            (work / "target.txt").write_text(lonlat(*target))
            command = ["cdo", "-s", "-b", "F64", "remapcon,target.txt", "source.nc", "expected.nc"]
            subprocess.run(command, cwd=work, check=True)
            expected = xr.load_dataset(work / "expected.nc")["t2m"].values
        golden[name] = {
            "source_latitude": source[0].tolist(),
            "source_longitude": source[1].tolist(),
            "source": values.tolist(),
            "target_latitude": target[0].tolist(),
            "target_longitude": target[1].tolist(),
            "expected": np.round(expected, 6).tolist(),
        }
    text = json.dumps(golden, separators=(",", ":")).replace('},"', '},\n"')
    Path(__file__).with_name("remapcon.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
