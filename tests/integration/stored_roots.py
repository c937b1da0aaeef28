"""What a reader finds below an archive root, held against what was there and what is to come."""

import functools
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from lsntp.training import list_versions

VOLATILE = {"created_at", "durations_s", "tensors_sha256", "files_sha256"}


def names(root: Path) -> list[str]:
    """Everything below a root but the locks; what a report's folder is called is drawn by lot."""
    found = [path for path in root.rglob("*") if path.suffix not in (".lock", ".writer")]
    named = (str(path.relative_to(root)) for path in found)
    return sorted(re.sub(r"(small\.)[0-9a-f]{8}", r"\1*", name) for name in named)


def stored(root: Path) -> dict[str, str]:
    """Digest of every file a reader may rely on, without what the clock decides."""
    found = {
        str(path.relative_to(root)): hashlib.sha256(_content(path)).hexdigest()
        for path in sorted([*root.rglob("*"), *root.glob("reports/*/*")])  # a report is a link
        if path.is_file()
        and path.suffix not in (".lock", ".writer")
        and path.relative_to(root).parts[0] != "work"
        and not any(
            part.startswith(".") or ".partial" in part for part in path.relative_to(root).parts
        )
    }
    assert found
    return found


def _content(path: Path) -> bytes:
    if path.name == "provenance.json":
        record = json.loads(path.read_text())
        return json.dumps({k: v for k, v in record.items() if k not in VOLATILE}).encode()
    if "quarantine" in path.parts:  # the words depend on what was stored when it was judged
        return b"an entry"
    if path.name == "index.html":  # tells how long the fits took
        assert path.read_text().rstrip().endswith("</html>")
        return b"a whole page"
    return path.read_bytes()


@functools.cache
def undisturbed(root: Path) -> dict[str, xr.Dataset]:
    """The archives of a state that no longer changes."""
    return archives(root)


def archives(root: Path) -> dict[str, xr.Dataset]:
    """Every archive a reader finds, read whole."""
    found = {}
    for path in sorted(root.glob("*/**/*.zarr")):
        with xr.open_zarr(path, chunks=None) as dataset:
            found[str(path.relative_to(root))] = dataset.load()
    return found


def check_readers(root: Path, before: Path, done: Path) -> None:
    """Whatever a reader finds is as it was, or as the stage will leave it; never in between."""
    reports = {name: text for name, text in stored(root).items() if name.startswith("reports/")}
    assert reports.items() in [
        {name: text for name, text in stored(state).items() if name.startswith("reports/")}.items()
        for state in (before, done)
    ]
    for version in (root / "models").rglob("provenance.json"):
        names = [entry.path for entry in list_versions(version.parents[1])]
        assert version.parent in names or ".partial" in str(version)
    old, new, found = undisturbed(before), undisturbed(done), archives(root)
    assert found.keys() >= old.keys()
    for name, dataset in found.items():
        if name.startswith("analysis"):
            check_slots(dataset, old.get(name), new[name], seal="status")
        elif name.startswith("forecasts"):
            check_slots(dataset, old.get(name), new[name], seal="written_leads")
        elif name.startswith("evaluations"):
            check_scores(dataset, old[name], new[name])
        else:
            xr.testing.assert_identical(dataset, new[name])


def check_slots(found: xr.Dataset, old: xr.Dataset | None, new: xr.Dataset, *, seal: str) -> None:
    """Each slot that says it holds a field holds the old or the new one, and none was lost."""
    size = found[seal].sizes[found[seal].dims[0]]
    is_sealed = found[seal].values > 0
    is_true = holds(new, found)
    if old is not None:
        is_true |= holds(old, found)
        known = old[seal].size
        assert known <= size
        assert is_sealed[:known][old[seal].values > 0].all()
    assert size <= new[seal].size
    assert is_true[is_sealed].all()


def holds(other: xr.Dataset, found: xr.Dataset) -> Any:
    """Which slots of ``found`` hold the field of ``other``, bit for bit."""
    fields, size = found["t2m"].values, min(found["t2m"].shape[0], other["t2m"].shape[0])
    equal = np.zeros(fields.shape[0], bool)
    both = fields[:size], other["t2m"].values[:size]
    alike = (both[0] == both[1]) | (np.isnan(both[0]) & np.isnan(both[1]))
    equal[:size] = alike.reshape(size, -1).all(axis=1)
    return equal


def check_scores(found: xr.Dataset, old: xr.Dataset, new: xr.Dataset) -> None:
    """Each scored frame holds the sums of the inputs it names: the old ones or the new ones."""
    sums = ["count", "error_sum", "squared_error_sum"]
    is_named = found["inputs_digest"] != 0
    is_known = ~found["inputs_digest"].astype(bool)
    for version in (old, new):
        places = found[["model", "init_time", "lead_time"]]
        other = version[["inputs_digest", *sums]].reindex_like(places, fill_value=0)
        is_its = is_named & (found["inputs_digest"] == other["inputs_digest"])
        is_known = is_known | is_its
        for name in sums:
            assert (found[name] == other[name]).where(is_its, True).all()
    assert is_known.all()
