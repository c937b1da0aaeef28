"""How many processes a fit runs in, and how many windows each step of its optimiser sees."""

import os
from itertools import pairwise

from lsntp.config import TrainingConfig
from lsntp.errors import ConfigError, HardwareError

UNDECISIVE = ("checkpoint_minutes", "accumulate", "devices", "memory_gb", "compile", "cuda_graphs")
"""Settings that do not decide the weights, if :func:`step_windows` is the same."""


def count_devices(config: TrainingConfig) -> int:
    """The processes of a fit: one a GPU, or as many CPU processes as asked for.

    ``auto`` is every GPU that torch sees (``CUDA_VISIBLE_DEVICES`` limits them), and one process
    where there is none.

    Raises:
        ConfigError: if more GPUs are asked for than there are.
    """
    if config.devices == 1:
        return 1
    import torch

    visible = torch.cuda.device_count()
    if config.devices == "auto":
        return max(1, visible)
    if 0 < visible < config.devices:
        raise ConfigError(
            f"Expected training.devices of at most {visible}, the GPUs that are visible, found "
            f"{config.devices}; lower it, set it to auto, or look at CUDA_VISIBLE_DEVICES."
        )
    return config.devices


def require_gpu() -> None:
    """Refuse a machine on which a fit would fall back to the CPU.

    Raises:
        HardwareError: if torch sees no GPU.
    """
    import torch

    if not torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        raise HardwareError(
            "Expected a GPU that torch can use, found none "
            f"(torch {torch.__version__}, CUDA_VISIBLE_DEVICES "
            f"{'unset' if visible is None else repr(visible)}); start the worker of the pool gpu "
            "on a machine with one and a CUDA build of torch, or train on the CPU: for good with "
            "`lsntp deploy DOMAIN --train-on cpu`, once with --param require_gpu=false."
        )


def step_windows(config: TrainingConfig) -> int:
    """Windows that one step of the optimiser sees: batch_size x devices x accumulate."""
    return config.batch_size * config.accumulate * count_devices(config)


def window_bytes(config: TrainingConfig) -> int:
    """Bytes that each process may take for the fields of its windows.

    With several, the one that started them counts too: it looks through all windows first.
    """
    from lsntp.training_data.frame_cache import usable_memory

    devices = count_devices(config)
    processes = devices + (devices > 1)
    if config.memory_gb == "auto":
        return usable_memory(processes)
    return int(config.memory_gb * 1e9 / processes)


def split_step(indices: list[int], *, size: int, ranks: int, rank: int) -> list[list[int]]:
    """The windows of one step that a process goes through, one batch after another.

    Every process gets the same number of batches, of sizes that differ by one at most; with
    fewer windows than batches, some are empty.

    Args:
        indices: the windows of the step, all processes together.
        size: of a batch, at most.
        ranks: processes.
        rank: which of them, from 0.
    """
    batches = ranks * -(-len(indices) // (ranks * size))
    cuts = [len(indices) * number // batches for number in range(batches + 1)]
    parts = [indices[first:last] for first, last in pairwise(cuts)]
    own = batches // ranks
    return parts[rank * own : (rank + 1) * own]
