"""Progress bars for long work: live on a terminal, one line now and then in a log file."""

import sys
from collections.abc import Iterable, Iterator
from typing import NoReturn, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def track(items: Iterable[Item], description: str, *, total: int | None = None) -> Iterator[Item]:
    """``items``, one by one, with a progress bar on standard error.

    Args:
        items: what to go through; a sized iterable needs no ``total``.
        description: what is being done, a few words.
        total: the number of items, when ``items`` cannot tell.
    """
    yield from tqdm(
        items, desc=description, total=total, mininterval=_interval_s(), dynamic_ncols=True
    )


def open_bar(description: str, *, total: int, done: int = 0) -> "tqdm[NoReturn]":
    """A bar to ``update()`` and ``close()`` by hand, where no loop of ours goes through the work.

    Args:
        description: what is being done, a few words.
        total: steps in all.
        done: steps finished before, by an earlier run.
    """
    return tqdm(
        desc=description,
        total=total,
        initial=done,
        mininterval=_interval_s(),
        dynamic_ncols=True,
    )


def _interval_s() -> float:
    """Seconds between two refreshes."""
    return 0.1 if sys.stderr.isatty() else 10.0
