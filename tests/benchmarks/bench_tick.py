"""What the life cycle of hours costs: a tick with nothing to do, and a year of backfill.

    python tests/benchmarks/bench_tick.py [--days 365]

Makes GRIB of 77 x 125 cells hourly with ecCodes, a file a month, in a temporary folder (a year is
180 MB), backfills it in a process of its own and takes its peak memory; then runs a tick on the
full archive, in another, and takes its CPU time after the imports. Both ticks are measured: that
of files, which looks into every file, and that of a source beyond a network. The decoder, the
process that opens foreign files, counts with all it does, its own imports included; the peak is
the sum of both peaks, which may lie apart.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import eccodes
import numpy as np

HEIGHT, WIDTH = 77, 125
START = np.datetime64("2023-01-01T00", "h")
TICK_TARGET_S, MEMORY_TARGET_MB = 2.0, 1500.0
DOMAIN = """
domain: bench
source: {source}
grid: {{kind: regular, north: 54, south: 16, west: 73, east: 135, spacing: 0.5}}
cadence_h: 1
archive: {{start: 2023-01-01}}
split:
  train: {{start: 2023-01-01, end: 2023-02-01}}
  validation: {{start: 2023-02-01, end: 2023-03-01}}
  test: {{start: 2023-03-01, end: 2024-01-01}}
root: {root}
"""


def make_grib(folder: Path, days: int) -> None:
    """A smooth atmosphere with weather, one GRIB 1 message an hour, a file a month."""
    message = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib1")
    keys = {
        "centre": "ecmf",
        "Ni": WIDTH,
        "Nj": HEIGHT,
        "latitudeOfFirstGridPointInDegrees": 54.0,
        "latitudeOfLastGridPointInDegrees": 16.0,
        "longitudeOfFirstGridPointInDegrees": 73.0,
        "longitudeOfLastGridPointInDegrees": 135.0,
        "iDirectionIncrementInDegrees": 0.5,
        "jDirectionIncrementInDegrees": 0.5,
        "paramId": 167,
        "bitsPerValue": 16,
        "stepRange": 0,
        "dataType": "an",
    }
    for key, value in keys.items():
        eccodes.codes_set(message, key, value)
    rng = np.random.default_rng(0)
    terrain = rng.normal(0, 3, (HEIGHT, WIDTH))
    latitude, longitude = np.meshgrid(np.linspace(54, 16, HEIGHT), np.linspace(73, 135, WIDTH))
    latitude, longitude = latitude.T, longitude.T
    drift = rng.normal(0, 0.2, days * 24).cumsum() / 5
    for hour in range(days * 24):
        time_of = START + np.timedelta64(hour, "h")
        clock = hour % 24 + longitude / 15
        season = -10 * np.cos(2 * np.pi * hour / 8766)
        field = 305 - 0.7 * latitude + season + 5 * np.sin((clock - 9) * np.pi / 12)
        field += terrain + drift[hour] + rng.normal(0, 0.1, field.shape)
        day = str(time_of.astype("datetime64[D]")).replace("-", "")
        eccodes.codes_set(message, "dataDate", int(day))
        eccodes.codes_set(message, "dataTime", hour % 24 * 100)
        eccodes.codes_set_values(message, field.ravel())
        with (folder / f"{day[:6]}.grib").open("ab") as file:
            eccodes.codes_write(message, file)
    eccodes.codes_release(message)


def backfill(domain_file: Path) -> dict[str, float]:
    """In this process: fill the archive."""
    from lsntp.backfill import backfill as fill
    from lsntp.config import load_domain

    domain = load_domain(domain_file)
    began, cpu = time.monotonic(), time.process_time()
    report = fill(domain)
    return {
        "hours": report.written,
        "without_field": report.without_field,
        "seconds": time.monotonic() - began,
        "cpu_s": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        **of_the_decoder(),
    }


def of_the_decoder() -> dict[str, float]:
    """CPU time and peak memory of the decoder, which ends here: the system tells of no other."""
    from lsntp.sources import decoding

    decoding._decoder.stop(patience_s=60)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"decoder_cpu_s": used.ru_utime + used.ru_stime, "decoder_mb": used.ru_maxrss / 1024}


def tick(domain_file: Path) -> dict[str, float]:
    """In this process: a tick with nothing to do."""
    from lsntp.config import load_domain
    from lsntp.ingest import ingest

    domain = load_domain(domain_file)
    cpu = time.process_time()
    report = ingest(domain)
    if not report.did_nothing:
        raise SystemExit(f"Expected nothing to do, found {report}.")
    return {"cpu_s": time.process_time() - cpu, **of_the_decoder()}


def in_a_process(job: str, domain_file: Path, site: Path) -> dict[str, float]:
    """The numbers of a job that ran in a process of its own."""
    script = (
        f"import sys; sys.path[:0] = [{str(site)!r}, {str(Path.cwd())!r}]\n"
        f"import json, runpy, pathlib\n"
        f"bench = runpy.run_path({__file__!r})\n"
        f"found = bench[{job!r}](pathlib.Path({str(domain_file)!r}))\n"
        "print(json.dumps(found))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--days", type=int, default=365)
    days = parser.parse_args().days
    with tempfile.TemporaryDirectory(prefix="lsntp-bench-") as name:
        folder = Path(name)
        make_grib(folder, days)
        files, late = folder / "files.yaml", folder / "late.yaml"
        root = folder / "root"
        files.write_text(
            DOMAIN.format(source=f"{{name: files, paths: ['{folder}/*.grib']}}", root=root)
        )
        filled = in_a_process("backfill", files, folder)

        from tests.lsntp.late_source import install, tell

        install(folder)
        end = START + np.timedelta64(days * 24 - 1, "h")
        tell(folder / "upstream", now=str(end))
        options = f"{{name: late, options: {{folder: '{folder}/upstream'}}}}"
        late.write_text(DOMAIN.format(source=options, root=root))
        ticks = {
            name: in_a_process("tick", file, folder)
            for name, file in {"files": files, "a network": late}.items()
        }

    print(
        f"{days} days of {HEIGHT} x {WIDTH} cells, hourly: {filled['hours']:.0f} hours, "
        f"{filled['without_field']:.0f} without a field"
    )
    print(
        f"backfill     {filled['seconds']:8.1f} s  {filled['cpu_s']:8.1f} s CPU and "
        f"{filled['decoder_cpu_s']:.1f} s of the decoder  peak {filled['peak_mb']:6.0f} MB and "
        f"{filled['decoder_mb']:.0f} MB of the decoder  (target {MEMORY_TARGET_MB:.0f})"
    )
    for name, found in ticks.items():
        print(
            f"empty tick   {found['cpu_s']:8.2f} s CPU and {found['decoder_cpu_s']:.2f} s of the "
            f"decoder, source: {name}  (target {TICK_TARGET_S:.0f})"
        )


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    main()
