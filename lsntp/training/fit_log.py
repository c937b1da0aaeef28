"""The log of a fit: one row an epoch, as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from lsntp.archives.staging import storage_errors
from lsntp.durable import replace_file

COLUMNS = ("epoch", "step", "learning_rate", "train_loss", "val_loss")


def write_log(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write the whole log in one step; numbers keep every digit.

    Args:
        path: its folder is made if needed.
        rows: with :data:`COLUMNS`: epoch (from 1), optimiser steps done, the last step's
            learning rate, the mean loss over the training windows seen in the epoch while the
            weights changed, and the loss over the validation windows after it.

    Raises:
        StorageError: if the storage refuses; the log that was there is unchanged.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with storage_errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.getvalue().encode())
