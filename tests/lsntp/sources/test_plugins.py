"""Sources of third parties: the README's example as an installed one, and bad ones refused.

A distribution is a folder on the path with a module and the metadata that an installer writes.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from lsntp.config import Domain, load_domain
from lsntp.errors import ConfigError, SourceDataError, SourceUnavailableError
from lsntp.names import Status
from lsntp.sources import Upstream, open_source
from lsntp.times import Period

README = Path(__file__).resolve().parents[3] / "README.md"
YAML = """
domain: own
source: {{name: {name}, options: {options}}}
grid: {{kind: regular, north: 58, south: 42, west: 2, east: 16, spacing: 2}}
cadence_h: 1
archive: {{start: 2019-03-01}}
split:
  train: {{start: 2019-03-01, end: 2019-03-02}}
  validation: {{start: 2019-03-02, end: 2019-03-03}}
  test: {{start: 2019-03-03, end: 2019-03-04}}
root: "{root}"
"""
DAY = Period.parse("2019-03-01", "2019-03-02")
TIMES = np.arange("2019-03-01T00", "2019-03-02T00", dtype="datetime64[h]").astype("datetime64[ns]")
SOUND = """
import numpy as np
from lsntp.names import Status
from lsntp.sources import Hole, NativeGrid, build_frames
from lsntp.times import hours

class Sound:
    name = "odd"
    is_synthetic = False
    publication_latency = hours(1)

    def __init__(self, options, domain):
        self.options, self.domain = options, domain

    def available(self, period):
        return period.steps(self.domain.cadence, self.domain.start)

    def fetch(self, times, area):
        values = np.full((len(times), *area.shape), 280.0, np.float32)
        final = np.full(len(times), Status.FINAL, np.int8)
        return [build_frames(values, times, final, area, source="odd", is_synthetic=False)]
"""


def install(site: Path, module: str, content: str, entry: str, distribution: str = "") -> None:
    """What an installer leaves of a distribution with one module and one entry point."""
    name = distribution or module
    metadata = site / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[lsntp.sources]\n{entry}\n")
    (site / f"{module}.py").write_text(content)


def domain_file(tmp_path: Path, name: str, options: str = "{}") -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(YAML.format(name=name, options=options, root=tmp_path / "root"))
    return path


def test_the_readmes_example_is_ingested_as_an_installed_distribution(tmp_path: Path) -> None:
    section = README.read_text().partition("### Write a source\n")[2]
    (example,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    assert len(example.splitlines()) <= 35
    entry = re.findall(r'```toml\n\[project.entry-points."lsntp.sources"\]\n(.*?)\n```', section)
    install(tmp_path / "site", "own_model", example, entry[0].replace('"', ""))
    fields = tmp_path / "fields"
    fields.mkdir()
    latitude, longitude = np.arange(60.0, 39.0, -1.0), np.arange(0.0, 20.0)
    for hour, time in enumerate(TIMES.astype("datetime64[h]")):
        plane = 20 - 0.3 * latitude[:, None] + 0.5 * longitude + 3 * np.sin(hour / 4)
        np.save(fields / f"{time}.npy", plane)
    path = domain_file(tmp_path, "own-model", f'{{folder: "{fields}"}}')
    script = (
        "import sys\n"
        "from lsntp.config import load_domain\n"
        "from lsntp.ingest import ingest\n"
        "from lsntp.times import parse_time\n"
        "done = ingest(load_domain(sys.argv[1]), clock=lambda: parse_time('2019-03-05'))\n"
        "print(done.written, done.quarantined)\n"
    )
    places = (str(tmp_path / "site"), os.environ.get("PYTHONPATH", ""), str(README.parent))
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["24", "0"]
    archive = xr.open_zarr(tmp_path / "root/analysis/own.zarr", chunks=None).compute()
    assert archive.attrs["source"] == "own-model"
    assert (archive.status == Status.FINAL).all()
    field = archive.t2m.sel(time=TIMES[6])
    step = field.sel(latitude=50, longitude=10) - field.sel(latitude=50, longitude=6)
    assert step.item() == pytest.approx(4 * 0.5, abs=1e-4)
    # 51, 50 and 49 N by their shares in the cell 51..49 N: a half, a whole, a half; the areas of
    # the two halves differ by 1 %, so their mean is 50 N to 0.3 K x 0.01.
    celsius = 20 - 0.3 * 50 + 0.5 * 10 + 3 * np.sin(6 / 4)
    assert field.sel(latitude=50, longitude=10).item() == pytest.approx(273.15 + celsius, abs=0.01)


@pytest.fixture
def open_odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Opens the source of a plugin called odd, whose class is SOUND with some lines changed."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))

    def open_it(extra: str = "", made: str = "Sound", options: str = "{}"):
        module = f"odd_{abs(hash((extra, made)))}"
        install(site, module, SOUND + extra, f"odd = {module}:{made}", "odd-sources")
        domain: Domain = load_domain(domain_file(tmp_path, "odd", options))
        return open_source(domain), domain

    return open_it


def odd(body: str) -> str:
    """A class Odd with some of it done otherwise."""
    return "\nclass Odd(Sound):\n" + "".join(f"    {line}\n" for line in body.splitlines())


def test_a_sound_plugin_gets_its_options_and_the_domain(open_odd) -> None:
    source, domain = open_odd(options="{speed: 3}")
    assert source.name == "odd"
    assert not source.is_synthetic
    assert not isinstance(source, Upstream)
    assert np.array_equal(source.available(DAY), TIMES)
    (frames,) = source.fetch(TIMES[:3], domain.target_grid)
    assert frames.sizes["time"] == 3
    assert source._made.options == {"speed": 3}


def test_one_that_knows_of_holes_is_an_upstream(open_odd) -> None:
    body = (
        "def pending(self, period):\n    return self.available(period)[:2]\n"
        "def holes(self):\n    return [Hole(self.domain.start, 'lost')]"
    )
    source, domain = open_odd(odd(body), "Odd")
    assert isinstance(source, Upstream)
    assert np.array_equal(source.pending(DAY), TIMES[:2])
    assert [(hole.time, hole.why) for hole in source.holes()] == [(domain.start, "lost")]


def test_times_in_any_order_and_beyond_the_period_are_put_right(open_odd) -> None:
    body = "def available(self, period):\n    return super().available(period)[::-1] - hours(1)"
    source, _ = open_odd(odd(body), "Odd")
    assert np.array_equal(source.available(DAY), TIMES[:-1])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("name = 'other'", "name 'other' where 'odd' is registered"),
        ("publication_latency = 3", "no publication_latency"),
        ("is_synthetic = True", "is_synthetic other than False"),
        ("fetch = None", "no method fetch"),
        ("def __init__(self, options, domain):\n    options['key']", "found KeyError: 'key'"),
        ("def __init__(self):\n    pass", "found TypeError"),
    ],
)
def test_what_is_no_source_is_refused_when_it_is_opened(open_odd, body: str, said: str) -> None:
    with pytest.raises(SourceDataError, match=r"plugin odd \(odd-sources\)") as caught:
        open_odd(odd(body), "Odd")
    assert said in str(caught.value)


def test_a_module_that_cannot_be_imported_names_the_plugin(open_odd) -> None:
    with pytest.raises(SourceDataError, match=r"plugin odd \(odd-sources\).*No module named"):
        open_odd("import nothing_of_that_name\n")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("    1 / 0", "ZeroDivisionError"),
        ("    return 3", "TypeError"),
        ("    return [3]", "a int in place of an xarray.Dataset"),
        ("    f, = super().fetch(times, area)\n    return [f.drop_vars('status')]", "no status"),
        (
            "    f, = super().fetch(times, area)\n    return [f.transpose('latitude', ...)]",
            "t2m(latitude, time, longitude) float32 where (time, latitude, longitude) float32",
        ),
        (
            "    f, = super().fetch(times, area)\n    return [f.assign(t2m=f.t2m.astype(float))]",
            "float64 where",
        ),
        (
            "    f, = super().fetch(times, area)\n    return [f.assign(status=0 * f.status)]",
            "a status other than preliminary (1) and final (2)",
        ),
        (
            "    f, = super().fetch(times, area)\n    return [f.sortby('latitude')]",
            "cells out of order",
        ),
        ("    return super().fetch(times - hours(24), area)", "2019-02-28T00:00Z, which was not"),
        (
            "    f, = super().fetch(times, area)\n    return [f.isel(digest_byte=slice(4))]",
            "digests of 4 bytes",
        ),
    ],
)
def test_frames_that_are_not_canonical_are_told_with_the_plugins_name(
    open_odd, body: str, said: str
) -> None:
    source, domain = open_odd(odd(f"def fetch(self, times, area):\n{body}"), "Odd")
    with pytest.raises(SourceDataError, match=r"plugin odd \(odd-sources\)") as caught:
        source.fetch(TIMES[:2], domain.target_grid)
    assert said in str(caught.value)


def test_times_that_are_none_are_told_with_the_plugins_name(open_odd) -> None:
    source, _ = open_odd(odd("def available(self, period):\n    return ['soon']"), "Odd")
    with pytest.raises(SourceDataError, match=r"plugin odd .*where datetime64 is expected"):
        source.available(DAY)


@pytest.mark.parametrize("error", ["ConnectionResetError", "TimeoutError"])
def test_a_broken_connection_may_pass_by_waiting(open_odd, error: str) -> None:
    body = f"def available(self, period):\n    raise {error}('reset')"
    source, _ = open_odd(odd(body), "Odd")
    with pytest.raises(SourceUnavailableError, match=r"plugin odd .*run again later"):
        source.available(DAY)


def test_a_plugins_own_words_of_our_kind_stay_as_they_are(open_odd) -> None:
    body = (
        "def available(self, period):\n    from lsntp.errors import CredentialsError\n"
        "    raise CredentialsError('no key')"
    )
    source, _ = open_odd(odd(body), "Odd")
    with pytest.raises(PermissionError, match=r"^no key$"):
        source.available(DAY)


def test_one_name_of_two_distributions_is_refused(open_odd, tmp_path: Path) -> None:
    install(tmp_path / "site", "odd_twin", SOUND, "odd = odd_twin:Sound", "twin-sources")
    with pytest.raises(SourceDataError, match=r"found 2 \((odd|twin)-sources, (odd|twin)-sources"):
        open_odd()


def test_a_name_that_is_not_installed_is_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected one of files, synthetic, era5, gfs, ncep_r1"):
        load_domain(domain_file(tmp_path, "no-such-source"))
