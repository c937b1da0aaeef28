"""The processes of one fit on several devices: started together, ended together.

They are fresh interpreters (a fork of a process with threads or a GPU may hang). A process
that dies, or fails, ends the others within :data:`GRACE_S` twice over; nothing is restarted in
place, since the connections between the others do not survive it. The fit is run again, and goes
on from its checkpoint. Processes whose parent dies are interrupted by the system.
"""

import logging
import os
import pickle
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch import multiprocessing
from torch.multiprocessing.spawn import start_processes

from lsntp.errors import LsntpError, RankLostError

GRACE_S = 5.0
"""How long the others have to end by themselves, and then again after being asked to."""


def run_ranks(work: Callable[[], None], count: int) -> None:
    """Run ``work`` in ``count`` processes of this machine and wait for all of them.

    Each finds its place in the environment that torch.distributed reads.

    Args:
        work: can be pickled.
        count: of processes.

    Raises:
        LsntpError: what one of them raised.
        RankLostError: if one was killed or failed otherwise; run again.
    """
    context: Any = multiprocessing.get_context("spawn")
    errors = context.SimpleQueue()
    # As bytes, since torch would pass tensors through /dev/shm, which is small in containers.
    arguments = (pickle.dumps(work), count, _free_port(), errors, logging.getLogger().level)
    processes = start_processes(  # type: ignore[no-untyped-call]
        _rank, arguments, nprocs=count, join=False, start_method="spawn"
    ).processes
    try:
        lost = _first_failures(processes)
    finally:
        _end(processes)
    if not lost:
        return
    if not errors.empty():
        raise errors.get()
    raise RankLostError(
        f"Expected {count} processes to finish the fit together, found that {', '.join(lost)}; the "
        "others were ended. Run it again: it goes on from its last checkpoint. A process that is "
        "killed again and again most often lacks memory: lower training.batch_size and raise "
        "training.accumulate."
    )


def _first_failures(processes: list[BaseProcess]) -> list[str]:
    """What happened to those that failed of themselves; empty if none did."""
    left = list(processes)
    while left and not any(process.exitcode for process in processes):
        wait([process.sentinel for process in left])
        left = [process for process in left if process.is_alive()]
    if not left and not any(process.exitcode for process in processes):
        return []
    deadline = time.monotonic() + GRACE_S
    for process in left:
        process.join(max(0.0, deadline - time.monotonic()))
    ends = {rank: process.exitcode for rank, process in enumerate(processes) if process.exitcode}
    # One that was killed is the cause; the others lost their connection to it.
    killed = {rank: code for rank, code in ends.items() if code < 0}
    return [f"process {rank} {_ended(code)}" for rank, code in (killed or ends).items()]


def _ended(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"failed with exit code {code}, its own words are above"


def _end(processes: list[BaseProcess]) -> None:
    """Leave none running, whatever they are stuck in."""
    for stop in (BaseProcess.terminate, BaseProcess.kill):
        for process in processes:
            if process.is_alive():
                stop(process)
        deadline = time.monotonic() + GRACE_S
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))


def _rank(rank: int, work: bytes, count: int, port: int, errors: Any, level: int) -> None:
    """What each process does."""
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "NODE_RANK": "0",
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
    }
    loopback = {name for _, name in socket.if_nameindex()} & {"lo", "lo0"}
    if loopback:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback.pop())
    logging.basicConfig(level=level if rank == 0 else logging.ERROR)
    try:
        pickle.loads(work)()  # noqa: S301  (made by the parent a moment ago)
    except LsntpError as error:
        errors.put(error)
        raise
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port
