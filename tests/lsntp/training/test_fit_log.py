import pytest

from lsntp.errors import StorageError
from lsntp.training.fit_log import write_log

FIRST = {"epoch": 1, "step": 5, "learning_rate": 0.01, "train_loss": 1.5, "val_loss": 2.0}
SECOND = {"epoch": 2, "step": 10, "learning_rate": 1e-05, "train_loss": 0.5, "val_loss": 0.25}
HEADER = "epoch,step,learning_rate,train_loss,val_loss\n"


def test_a_log_is_a_header_and_one_row_an_epoch(tmp_path):
    write_log(tmp_path / "log.csv", [FIRST, SECOND])
    expected = f"{HEADER}1,5,0.01,1.5,2.0\n2,10,1e-05,0.5,0.25\n"
    assert (tmp_path / "log.csv").read_bytes() == expected.encode()


def test_columns_keep_their_order_whatever_the_order_of_a_row(tmp_path):
    write_log(tmp_path / "log.csv", [dict(reversed(FIRST.items()))])
    assert (tmp_path / "log.csv").read_text() == f"{HEADER}1,5,0.01,1.5,2.0\n"


def test_numbers_keep_every_digit(tmp_path):
    write_log(tmp_path / "log.csv", [FIRST | {"train_loss": 0.1 + 0.2, "val_loss": 1 / 3}])
    row = (tmp_path / "log.csv").read_text().splitlines()[1]
    assert row == "1,5,0.01,0.30000000000000004,0.3333333333333333"


def test_a_fit_without_an_epoch_has_a_header_only_in_a_folder_made_for_it(tmp_path):
    path = tmp_path / "fits" / "net" / "log.csv"
    write_log(path, [])
    assert path.read_text() == HEADER


def test_a_log_takes_the_place_of_the_one_before_and_leaves_nothing_beside_it(tmp_path):
    write_log(tmp_path / "log.csv", [FIRST, SECOND])
    write_log(tmp_path / "log.csv", [SECOND])
    assert (tmp_path / "log.csv").read_text() == f"{HEADER}2,10,1e-05,0.5,0.25\n"
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


def test_a_refused_log_leaves_the_one_before_as_it_was(tmp_path, small_files):
    path = tmp_path / "log.csv"
    write_log(path, [FIRST])
    small_files(80)  # the header and the first row are 62 bytes, with the second row 82
    with pytest.raises(StorageError, match=r"Expected to write .*log\.csv"):
        write_log(path, [FIRST, SECOND])
    assert path.read_text() == f"{HEADER}1,5,0.01,1.5,2.0\n"
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


def test_a_file_where_the_folder_should_be_is_named(tmp_path):
    (tmp_path / "net").write_text("in the way")
    with pytest.raises(StorageError, match=r"Expected to write .*net"):
        write_log(tmp_path / "net" / "log.csv", [FIRST])
    assert (tmp_path / "net").read_text() == "in the way"


def test_a_column_that_is_not_of_the_log_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="momentum"):
        write_log(tmp_path / "fits" / "log.csv", [FIRST | {"momentum": 0.9}])
    assert not list(tmp_path.iterdir())
