"""Fits in processes of their own that are killed, or whose disk is full. Run by the tests.

    python trials.py FOLDER < trials.json

Each trial fits a toy network below FOLDER, once per fault and a last time without one. Torch is
imported once; every fit is a forked process, so a kill is a real one and costs milliseconds.
Prints how each process ended, as JSON: -9 for SIGKILL, else the exit code.
"""

import json
import logging
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from functools import wraps
from pathlib import Path

import torch
from torch import nn
from toys import Noise  # a script: the folder of this file is where it looks first

from lsntp.config import TrainingConfig
from lsntp.errors import LsntpError
from lsntp.training.network_fit import fit_network

FILLER = "filler"


class Toy(nn.Module):
    """Overfits soon, and draws random numbers in every step; calls ``fault`` in every forward."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.Tanh(), nn.Dropout(0.2), nn.Conv2d(16, 2, 1)
        )
        self.fault = lambda is_training: None

    def forward(self, history, known_future=None, static=None):
        self.fault(self.training)
        return self.layers(history[:, :, 0])[:, :, None]


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def fill(folder):
    """Use up the file system of ``folder`` to the last byte."""
    with (folder / FILLER).open("wb", buffering=0) as file:
        for size in (4096, 1):
            while True:
                try:
                    file.write(b"x" * size)
                except OSError:
                    break


def at_count(count, action, *, when=lambda *_: True):
    """A function that acts at its ``count``-th call for which ``when`` holds."""
    calls = iter(range(1, 1_000_000))

    def called(*args):
        if when(*args) and next(calls) == count:
            action()

    return called


def before(module, name, act):
    """Let ``act`` see the arguments of every call of ``module.name`` first."""
    function = getattr(module, name)

    @wraps(function)
    def wrapped(*args, **kwargs):
        act(*args)
        return function(*args, **kwargs)

    setattr(module, name, wrapped)


def arm(network, fault, folder):
    """Make a fault happen in this process."""
    kind, count = fault["at"], fault.get("count", 0)
    if kind == "step":
        network.fault = at_count(count, die, when=lambda is_training: is_training)
    elif kind == "validation":
        network.fault = at_count(count, die, when=lambda is_training: not is_training)
    elif kind == "flush":  # the checkpoint is written, not renamed
        before(os, "fsync", at_count(count, die))
    elif kind == "rename":
        before(os, "replace", at_count(count, die))
    elif kind == "prune":  # it is renamed, the old ones are still there
        before(os, "unlink", at_count(count, die, when=lambda path, *_: "ckpt" in str(path)))
    elif kind == "file size":
        network.fault = at_count(
            count, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        )
    elif kind == "full":
        network.fault = at_count(count, lambda: fill(folder))


def fit(folder, config, fault):
    """One process's work; its exit code."""
    torch.manual_seed(config.seed)
    network = Toy()
    if fault is not None:
        arm(network, fault, folder)
    try:
        fitted = fit_network(
            network,
            Noise(60),
            Noise(11, first=100),
            config=config,
            folder=folder,
            description="fit",
            identity="toy",
        )
    except LsntpError as error:
        logging.exception("refused")
        return error.exit_code
    end = {
        "weights": network.state_dict(),
        "drawn": torch.rand(4),
        "epochs": fitted.epochs,
        "validation_loss": fitted.validation_loss,
        "stopped_by": fitted.stopped_by,
    }
    torch.save(end, folder / "end.pt")
    return 0


def forked(folder, config, fault):
    """How a process with this work ended."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            log = folder.with_name(f"{folder.name}.log")  # outside, where the disk is not full
            logging.basicConfig(filename=log, level=logging.INFO, force=True)
            code = fit(folder, config, fault)
        except BaseException:
            logging.exception("unexpected")
        os._exit(code)
    if fault is not None and fault["at"] == "time":
        time.sleep(fault["seconds"])
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def timed_faults(trial, seconds):
    """Kills at random moments of a fit that takes ``seconds``."""
    numbers = random.Random(trial["name"])
    return [
        {"at": "time", "seconds": numbers.uniform(0, 0.7) * seconds} for _ in range(trial["kills"])
    ]


def run(root, trial, seconds):
    """One trial; how its processes ended."""
    folder = root / trial["name"]
    folder.mkdir(parents=True)
    if "tmpfs_kib" in trial:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={trial['tmpfs_kib']}k", "tmpfs", folder],
            check=True,
        )
    config = TrainingConfig.model_validate(trial["config"])
    faults = timed_faults(trial, seconds) if "kills" in trial else trial["faults"]
    ends = []
    for fault in [*faults, None]:
        ends.append(forked(folder, config, fault))
        (folder / FILLER).unlink(missing_ok=True)
    if "tmpfs_kib" in trial:
        shutil.copytree(folder, root / f"{trial['name']}-copy")
    return ends


def main():
    root, trials = Path(sys.argv[1]), json.load(sys.stdin)
    torch.set_num_threads(1)
    ends, seconds = {}, 0.0
    for trial in trials:
        started = time.monotonic()
        ends[trial["name"]] = run(root, trial, seconds)
        if not seconds:  # the first is undisturbed
            seconds = time.monotonic() - started
    print(json.dumps(ends))


if __name__ == "__main__":
    main()
