"""What a run leaves on disk is what the next one knows."""

import datetime as dt
import uuid

import numpy as np
import pytest

from lsntp.errors import SourceUnavailableError, StorageError
from lsntp.sources.era5 import ledger as module
from lsntp.sources.era5.ledger import Entry, Ledger, md5_of
from lsntp.sources.era5.request import Product, requests_for
from lsntp.times import hours, parse_time

PRODUCT = Product(dataset="d", data_format="grib", area=(52.0, -1.0, 51.0, 0.0))
NOW = parse_time("2025-05-01")
TIMES = parse_time("2025-01-01") + np.arange(6) * hours(1)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "era5")


def delivered(ledger, times=TIMES, content=b"GRIB", at="2025-05-01T00", absent=()):
    (request,) = requests_for(times, PRODUCT)
    ledger.file(request).write_bytes(content)
    entry = Entry(
        request=request,
        state="delivered",
        submitted_at=dt.datetime(2025, 5, 1, tzinfo=dt.UTC),
        job=uuid.uuid4(),
        delivered_at=at,
        absent=absent,
        md5=md5_of(ledger.file(request)),
    )
    ledger.put(entry)
    return entry


def test_a_note_comes_back_as_it_was_put(ledger):
    with ledger.held():
        entry = delivered(ledger, absent=("2025-01-01T02",))
    assert ledger.find(entry.request) == entry
    assert ledger.entries() == [entry]
    np.testing.assert_array_equal(entry.held_times, np.delete(TIMES, 2))


def test_only_one_run_holds_the_ledger(ledger, tmp_path):
    with (
        ledger.held(),
        pytest.raises(SourceUnavailableError, match="another one"),
        Ledger(tmp_path / "era5").held(),
    ):
        pass
    with Ledger(tmp_path / "era5").held():
        pass


def test_a_folder_that_cannot_be_made_is_a_fault_of_the_storage(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="free space"), Ledger(tmp_path / "file" / "era5").held():
        pass


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b'{"request": 1}'])
def test_a_damaged_note_is_passed_over_with_a_warning(ledger, caplog, damage):
    with ledger.held():
        entry = delivered(ledger)
        (note,) = ledger.file(entry.request).parent.glob("*.request.json")
        note.write_bytes(damage)
    assert ledger.entries() == []
    assert "cannot be read" in caplog.text


def test_a_note_under_another_name_than_its_request_is_not_believed(ledger):
    with ledger.held():
        entry = delivered(ledger)
        (note,) = ledger.file(entry.request).parent.glob("*.request.json")
        note.rename(note.with_name("0.request.json"))
    assert ledger.entries() == []


def test_a_delivered_file_answers_for_half_a_day(ledger):
    with ledger.held():
        entry = delivered(ledger)
        ledger.sweep(NOW + hours(11))
        assert ledger.entries() == [entry]
        ledger.sweep(NOW + hours(12))
        assert ledger.entries() == []
        assert not ledger.file(entry.request).exists()


def test_a_file_that_is_not_what_was_checked_does_not_answer(ledger):
    with ledger.held():
        entry = delivered(ledger)
        assert ledger.deliveries(PRODUCT, TIMES[:1]) == [entry]
        ledger.file(entry.request).write_bytes(b"GRUB")
        assert ledger.deliveries(PRODUCT, TIMES[:1]) == []
        assert ledger.entries() == []


def test_files_answer_for_their_own_product_and_times_only(ledger):
    with ledger.held():
        delivered(ledger)
        assert ledger.deliveries(PRODUCT, TIMES + hours(6)) == []
        other = PRODUCT.model_copy(update={"data_format": "netcdf"})
        assert ledger.deliveries(other, TIMES) == []


def test_the_oldest_files_make_room(ledger, monkeypatch):
    monkeypatch.setattr(module, "KEPT_BYTES", 10)
    with ledger.held():
        delivered(ledger, at="2025-05-01T01")
        kept = [
            delivered(ledger, TIMES + hours(24), at="2025-05-01T02"),
            delivered(ledger, TIMES + hours(48), at="2025-05-01T03"),
        ]
        ledger.sweep(NOW + hours(4))
        assert ledger.entries() == kept
