"""Progress bars for long work: live on a terminal, one line now and then in a log file."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def track(items: Iterable[Item], description: str, *, total: int | None = None) -> Iterator[Item]:
    """``items``, one by one, with a progress bar on standard error.

    Args:
        items: what to go through; a sized iterable needs no ``total``.
        description: what is being done, a few words.
        total: the number of items, when ``items`` cannot tell.
    """
    interval_s = 0.1 if sys.stderr.isatty() else 10.0
    yield from tqdm(
        items, desc=description, total=total, mininterval=interval_s, dynamic_ncols=True
    )
