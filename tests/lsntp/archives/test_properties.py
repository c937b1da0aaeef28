"""What holds of archives whatever is published, in whatever order, split and number of times.

The model of an archive is a dictionary: hour -> the field that must be read there.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.forecast import ForecastArchive
from lsntp.archives.verification import verify_archive
from lsntp.names import Status
from lsntp.times import hours

LEADS = np.array([hours(1), hours(2)])
SIZE = 60
HOURS = st.sets(st.integers(0, SIZE - 1), min_size=1, max_size=20)
PUBLISH = st.tuples(st.sampled_from([Status.PRELIMINARY, Status.FINAL]), HOURS)
MARK = st.tuples(st.just(Status.QUARANTINED), HOURS)
STEPS = st.lists(st.one_of(PUBLISH, MARK), min_size=1, max_size=6)
slow = pytest.mark.slow
EXAMPLES = [pytest.param(8, id="8"), pytest.param(100, id="100", marks=slow)]


def apply(archive: AnalysisArchive, lab, status: Status, slots) -> None:
    slots = np.array(sorted(slots))
    if status == Status.QUARANTINED:
        archive.mark(lab.START + slots * lab.HOUR, status, now=lab.NOW)
    else:
        archive.publish(lab.make_frames(slots, status, lab.SMALL_GRID), now=lab.NOW)


def expected_status(steps) -> dict[int, Status]:
    """Final beats preliminary beats a mark beats nothing, whatever came first."""
    rank = {Status.QUARANTINED: 1, Status.PRELIMINARY: 2, Status.FINAL: 3}
    known: dict[int, Status] = {}
    for status, slots in steps:
        for slot in slots:
            known[slot] = max(known.get(slot, status), status, key=rank.__getitem__)
    return known


@pytest.mark.parametrize("examples", EXAMPLES)
def test_an_archive_is_a_function_of_what_was_published_and_of_nothing_else(
    examples, tmp_path_factory, lab, objects
):
    @settings(max_examples=examples, deadline=None)
    @given(steps=STEPS, data=st.data())
    def check(steps, data):
        folder = tmp_path_factory.mktemp("p")
        archive = lab.create(folder / "one.zarr", lab.SMALL_GRID)
        sizes = [0]
        for status, slots in steps:
            apply(archive, lab, status, slots)
            sizes.append(archive.times.size)
            assert (archive.times == lab.START + np.arange(sizes[-1]) * lab.HOUR).all()
        assert sizes == sorted(sizes)

        known = expected_status(steps)
        status = np.array([known.get(slot, Status.MISSING) for slot in range(max(known) + 1)])
        assert archive.status.tolist() == status.tolist()
        dataset = xr.open_zarr(archive.path, chunks=None).load()
        truth = lab.truth(np.arange(status.size), status, lab.SMALL_GRID)
        usable = np.isin(status, [Status.PRELIMINARY, Status.FINAL])
        assert (dataset["t2m"].values[usable] == truth[usable]).all()
        assert np.isnan(dataset["t2m"].values[~usable]).all()
        assert verify_archive(archive.path, "analysis").findings == ()

        # Any other order, some of it twice, and split further: the same bytes.
        parts = [(status, {slot}) for status, slots in steps for slot in slots]
        again = data.draw(st.permutations([*parts, *parts[:3]]))
        other = lab.create(folder / "two.zarr", lab.SMALL_GRID)
        for step in merged(again):
            apply(other, lab, *step)
        assert objects(other.path) == objects(archive.path)
        shutil.rmtree(folder)

    check()


def merged(parts) -> list[tuple[Status, set[int]]]:
    """Neighbours of the same status in one publish."""
    steps: list[tuple[Status, set[int]]] = []
    for status, slots in parts:
        if steps and steps[-1][0] == status:
            steps[-1] = (status, steps[-1][1] | slots)
        else:
            steps.append((status, slots))
    return steps


@pytest.mark.parametrize("examples", EXAMPLES)
def test_a_forecast_archive_holds_the_first_forecast_of_each_initial_time(
    examples, tmp_path_factory, lab, objects
):
    def publish(archive: ForecastArchive, slots) -> None:
        slots = np.array(sorted(slots))
        values = 250 + slots[:, None, None, None] + np.zeros((slots.size, 2, 2, 3))
        archive.publish(
            lab.START + slots * lab.HOUR,
            values.astype(np.float32),
            model_version="ridge-0123456789ab",
            analysis_status=np.full(slots.size, Status.FINAL, np.int8),
        )

    def create(path: Path) -> ForecastArchive:
        return ForecastArchive.create(
            path,
            grid=lab.SMALL_GRID,
            start=lab.START,
            cadence=lab.HOUR,
            lead_times=LEADS,
            attrs={},
        )

    @settings(max_examples=examples, deadline=None)
    @given(batches=st.lists(HOURS, min_size=1, max_size=4), order=st.randoms(use_true_random=False))
    def check(batches, order):
        folder = tmp_path_factory.mktemp("f")
        one, two = create(folder / "one.zarr"), create(folder / "two.zarr")
        for slots in batches:
            publish(one, slots)
        shuffled = [*batches, batches[0]]
        order.shuffle(shuffled)
        for slots in shuffled:
            publish(two, slots)
        wanted = np.array(sorted(set.union(*batches)))
        assert one.written().tolist() == (lab.START + wanted * lab.HOUR).tolist()
        fields = one.read(one.init_times)
        assert (fields[wanted] == 250 + wanted[:, None, None, None]).all()
        assert np.isnan(np.delete(fields, wanted, axis=0)).all()
        assert (np.diff(one.init_times) == lab.HOUR).all()
        assert verify_archive(one.path, "forecast").findings == ()
        assert objects(one.path) == objects(two.path)
        shutil.rmtree(folder)

    check()


def test_two_writers_never_interleave(tmp_path, lab, objects, start_process):
    """Each claims the lease for its whole publish: the result is one after the other."""
    path, alone = tmp_path / "x.zarr", tmp_path / "alone.zarr"
    lab.prepare(path)
    shutil.copytree(path, alone)
    AnalysisArchive.open(alone).publish(lab.disputed_frames(), now=lab.NOW)
    with start_process("serve", path) as first, start_process("serve", path) as second:
        for _ in range(3):
            for server in (first, second):
                print("never", file=server.stdin, flush=True)
        for server in (first, second):
            for _ in range(3):
                assert server.stdout.readline() == "published\n"
                assert server.stdout.readline() == "ended\n"
    assert lab.check(path) == 100
    assert objects(path) == objects(alone)
