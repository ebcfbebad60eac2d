"""One process or many: what `torchrun` started, as one small value.

Under `torchrun` every rank runs the same program; the trap is that only rank 0 may write files or
print.
"""

import gc
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from orchid_genomics.errors import RecipeError
from orchid_genomics.model.device import device_of
from orchid_genomics.model.sequence_parallel import WHERE, Shards


@dataclass(frozen=True)
class Ranks:
    """This process among `world`, its device, and those that it shares windows with, if any."""

    rank: int
    world: int
    device: torch.device
    shards: Shards | None = None

    @property
    def main(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    @property
    def readers(self) -> int:
        """How many read rows of their own: the ranks, or groups of ranks that share windows."""
        return self.world if self.shards is None else self.world // self.shards.size

    def rows(self, batch: int, part: int = 0, parts: int = 1) -> Sequence[int]:
        """The global rows of this rank's `part`-th of `parts` accumulated pieces of a batch."""
        reader = self.rank if self.shards is None else self.rank // self.shards.size
        size = batch // (self.readers * parts)
        first = (part * self.readers + reader) * size
        return range(first, first + size)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over ranks, in place."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def agree(self, flag: bool) -> bool:
        """Whether any rank says so."""
        if self.world == 1:
            return flag
        return bool(self.sum(torch.tensor(float(flag), device=self.device)) > 0)

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over ranks."""
        if self.world == 1:
            return module
        return nn.parallel.DistributedDataParallel(module, find_unused_parameters=False)

    def alone(self, module: nn.Module) -> AbstractContextManager[None]:
        """A context in whose backward passes a wrapped module averages no gradients."""
        if isinstance(module, nn.parallel.DistributedDataParallel):
            return module.no_sync()
        return nullcontext()

    def close(self) -> None:
        """Leave the group."""
        if self.world > 1:
            # A wrapped module lies in reference cycles and holds the group, whose threads abort the
            # process when they are still alive at its exit.
            gc.collect()
            dist.destroy_process_group()


def start(device: str = "auto", sequence_ranks: int = 1) -> Ranks:
    """Join what torchrun started (NCCL on CUDA, gloo on CPU), or stand alone.

    Parameters
    ----------
    device
        auto, cpu or cuda.
    sequence_ranks
        Ranks that share each window; the others read other rows.

    Raises
    ------
    RecipeError
        Where torchrun started no multiple of `sequence_ranks`.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if world % sequence_ranks:
        message = f"{sequence_ranks} ranks a window, and {world} in all"
        many = f"torchrun --nproc-per-node with a multiple of {sequence_ranks}"
        raise RecipeError(WHERE, message, many)
    # Before NCCL starts, which works on the current device.
    own = device_of(device, "training.device")
    if own.type == "cuda":
        torch.cuda.set_device(own)
    if world > 1:
        dist.init_process_group("nccl" if own.type == "cuda" else "gloo")
    return Ranks(rank, world, own, share_windows(rank, world, sequence_ranks))


def share_windows(rank: int, world: int, size: int) -> Shards | None:
    """The `size` neighbouring ranks that share windows with this one; None where each has its own.

    Every rank must call it: groups are made by all ranks together.
    """
    if size == 1:
        return None
    groups = [dist.new_group(range(first, first + size)) for first in range(0, world, size)]
    return Shards(rank % size, size, groups[rank // size])


def check_batch(batch: int, accumulate: int, world: int, where: str) -> None:
    """Raise RecipeError when a batch does not divide evenly."""
    if batch % (accumulate * world):
        ranks = "1 rank" if world == 1 else f"{world} ranks"
        message = f"{batch} rows do not divide into {ranks} x {accumulate} parts"
        raise RecipeError(where, message, f"a multiple of {accumulate * world}")
