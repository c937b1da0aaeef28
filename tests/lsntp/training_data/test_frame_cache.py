import pickle
import tracemalloc

import numpy as np
import pytest

from lsntp.errors import ArchiveError, TrainingDataError
from lsntp.training_data import frame_cache
from lsntp.training_data.archive import build_training_archive
from lsntp.training_data.frame_cache import FrameCache

SPAN = 5
FRAME = 4 * 80 * 100


@pytest.fixture(autouse=True)
def _by_the_day(monkeypatch):
    """Blocks of one chunk, which is 24 frames."""
    monkeypatch.setattr(frame_cache, "BLOCK_BYTES", 0)


@pytest.fixture(scope="module")
def training(make_domain, make_archive, tmp_path_factory):
    """360 hourly fields of 80 x 100 cells in chunks of 24."""
    domain, analysis = make_domain(rows=80, columns=100), make_archive(rows=80, columns=100)
    folder = tmp_path_factory.mktemp("training")
    return build_training_archive(domain, analysis, folder, "standard")


def cache_of(training, blocks, **settings):
    """A cache with room for some blocks, and for decoding a chunk, which takes four."""
    size = FRAME * (24 + SPAN - 1) * (2 if settings.get("needs_climatology") else 1)
    return FrameCache(training, span=SPAN, max_bytes=blocks * size + 4 * 24 * FRAME, **settings)


def test_a_block_holds_every_window_that_begins_in_it(training):
    cache = cache_of(training, 3)
    whole = training.read(0, 360)
    assert cache.frames == 24
    for number in range(15):
        expected = whole[24 * number : 24 * number + 24 + SPAN - 1]
        np.testing.assert_array_equal(cache.block(number).fields, expected)


def test_a_long_window_makes_longer_blocks_of_whole_chunks(training):
    assert FrameCache(training, span=24).frames == 24
    assert FrameCache(training, span=25).frames == 48


def test_blocks_are_read_again_only_when_others_took_their_room(training):
    cache = cache_of(training, 3)
    for number in (0, 1, 2, 0, 1, 2):
        cache.block(number)
    assert cache.reads == 3
    cache.block(3)  # in the place of 0, which was used longest ago
    cache.block(2)
    assert cache.reads == 4
    cache.block(0)
    assert cache.reads == 5


@pytest.mark.parametrize("needs_climatology", [False, True])
def test_memory_stays_below_the_bound_whatever_is_read(training, needs_climatology):
    """The least of three times: what else a process does takes memory, too, and gives none."""
    cache_of(training, 2).block(0)  # what zarr keeps for good is not the cache's
    numbers = np.random.default_rng(0).integers(0, 15, 60)
    peaks = []
    for _ in range(3):
        cache = cache_of(training, 2, needs_climatology=needs_climatology)
        tracemalloc.start()
        try:
            for number in numbers:
                cache.block(int(number))
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert cache.reads > 40
    assert 2 * cache.block_bytes < min(peaks) <= cache.max_bytes + 300_000  # objects of zarr


def test_less_memory_than_a_block_takes_is_refused(training):
    # 32 000 bytes a frame; 28 frames in a block, 4 * 24 to decode one chunk
    with pytest.raises(TrainingDataError, match=r"at least 0\.00397 GB .* found 0\.00307 GB"):
        cache_of(training, 0)


def test_the_climatology_of_a_time_is_the_same_in_every_block(training):
    cache = cache_of(training, 15, needs_climatology=True)
    for number in range(14):
        tail = cache.block(number).climatology[24:]
        np.testing.assert_array_equal(tail, cache.block(number + 1).climatology[: SPAN - 1])
    expected = training.statistics.climatology.at(training.times[48 : 48 + 28])
    np.testing.assert_allclose(cache.block(2).climatology, expected, rtol=1e-6)


def test_a_copy_for_another_process_starts_empty_and_reads_the_same(training):
    cache = cache_of(training, 15)
    blocks = [cache.block(number).fields for number in range(15)]
    sent = pickle.dumps(cache)
    assert len(sent) < sum(block.nbytes for block in blocks) / 2
    copy = pickle.loads(sent)
    assert copy.reads == 0
    np.testing.assert_array_equal(copy.block(7).fields, blocks[7])


def test_a_damaged_chunk_is_never_taken_for_fields(training, make_domain, make_archive, tmp_path):
    domain, analysis = make_domain(), make_archive()
    built = build_training_archive(domain, analysis, tmp_path / "t", "standard")
    (shard,) = (built.path / "x" / "c").rglob("0/0/0/0")
    content = bytearray(shard.read_bytes())
    content[200] ^= 1  # in the first chunk
    shard.write_bytes(content)
    cache = FrameCache(built, span=SPAN)
    with pytest.raises(ArchiveError, match=r"found damage: .* run `lsntp prepare` again"):
        cache.block(0)
