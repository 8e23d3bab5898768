"""The processes that train one model together, as ``torchrun`` starts them.

Each has a copy of the model and computes a share of every batch; torch's DistributedDataParallel
(Li et al., VLDB 2020) adds up their gradients, so that the copies stay equal. CPUs exchange through
gloo, GPUs through NCCL. A process alone is one of one: it exchanges nothing, and its callers need
not know.
"""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from plainspeech.errors import ConfigurationError, PlainspeechError

T = TypeVar("T")

_ENVIRONMENT = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables by which torchrun, and whatever does as it does, tells a process its place."""


@dataclass(frozen=True)
class Processes:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: of this one, from 0.
        count: of all.
        local_rank: of this one among those of its machine; None where torchrun did not start it.
        store: that all of them can reach; None for one alone.
    """

    rank: int = 0
    count: int = 1
    local_rank: int | None = None
    store: Store | None = None

    @property
    def leads(self) -> bool:
        """Whether this process writes the run's files and tells of its progress."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return what of ``items`` is this process's to do."""
        return items[self.rank :: self.count]

    def gathered(self, own: Sequence[T]) -> list[T]:
        """Return what all processes have made of their shares, in the order of the whole."""
        if self.count == 1:
            return list(own)
        parts: list[Sequence[T]] = [()] * self.count
        distributed.all_gather_object(parts, own)
        # The first has as many as any.
        return [part[i] for i in range(len(parts[0])) for part in parts if i < len(part)]

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum of every process's ``tensor``; on a GPU without waiting for it."""
        if self.count > 1:
            distributed.all_reduce(tensor)
        return tensor

    def sums(self, *numbers: float) -> list[float]:
        """Return the sum of every process's number, for each of ``numbers``."""
        if self.count == 1:
            return list(numbers)
        found: list[float] = self.sum(torch.tensor(numbers, dtype=torch.float64)).tolist()
        return found

    def wait(self) -> None:
        """Return when all processes are here."""
        self.sums(0.0)

    def parallel(self, module: nn.Module) -> nn.Module:
        """Return ``module`` so that its gradients become the mean of all processes'.

        All take the weights of the first.
        """
        if self.count == 1:
            return module
        # The order of the axes of size 1, which makes no difference.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return DistributedDataParallel(module, gradient_as_bucket_view=True)

    def exchanging(self, module: nn.Module, wanted: bool) -> AbstractContextManager[None]:
        """Return the context of a forward and backward pass of a `parallel` module.

        Args:
            module: that `parallel` returned.
            wanted: whether to exchange gradients now; otherwise they are kept, and exchanged
                together with those of the next pass.
        """
        if isinstance(module, DistributedDataParallel) and not wanted:
            return module.no_sync()
        return nullcontext()

    def own_device(self, device: torch.device) -> torch.device:
        """Return the GPU of this process if ``device`` is a GPU: each of a machine takes another.

        Raises:
            ConfigurationError: there are fewer GPUs than processes.
        """
        if device.type != "cuda" or self.local_rank is None:
            return device
        if str(device) != "cuda":
            raise ConfigurationError(
                f"--device {device}: every process takes a GPU of its own; say cuda"
            )
        if self.local_rank >= torch.cuda.device_count():
            raise ConfigurationError(
                f"there is no GPU for process {self.local_rank} of this machine, which has "
                f"{torch.cuda.device_count()}: start as many with torchrun --nproc-per-node"
            )
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def refuse_differences(self, what: str, value: object) -> None:
        """Stop where the processes do not all have the same ``value``.

        Raises:
            ConfigurationError: one has another; the message names ``what``.
        """
        for rank, other in enumerate(self.gathered([value])):
            if other != value:
                raise ConfigurationError(
                    f"process {rank} of {self.count} has another {what}: all need the same recipe, "
                    f"data and --output, on every machine"
                )

    @contextmanager
    def one_voice(self) -> Iterator[None]:
        """Let one process alone tell what has ended the run, whatever it is; the others end.

        Raises:
            PlainspeechError: in the first process that comes to its end by one, also by one that
                says that another process is gone.
            SystemExit: with status 1, in the others.
        """
        if self.store is None:
            yield
            return
        try:
            yield
        except (PlainspeechError, RuntimeError) as error:
            if not isinstance(error, PlainspeechError) and not _of_exchange(error):
                raise
            # torchrun ends the others when one has ended; this one has its reason to tell first.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if not _is_first(self.store):
                raise SystemExit(1) from error
            if isinstance(error, PlainspeechError):
                raise
            raise ConfigurationError(
                f"process {self.rank} of {self.count} has lost another, which was killed or cannot "
                f"be reached any more; the same command resumes from the last checkpoint"
            ) from error
        distributed.destroy_process_group()


ALONE = Processes()
"""One process by itself."""


def join() -> Processes:
    """Return the processes that this one was started with.

    Raises:
        ConfigurationError: they do not find each other.
    """
    if not os.environ.keys() >= set(_ENVIRONMENT):
        return ALONE
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if int(os.environ["WORLD_SIZE"]) == 1:
        return Processes(local_rank=local_rank)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        store, rank, count = next(rendezvous("env://"))
        distributed.init_process_group(backend, store=store, rank=rank, world_size=count)
    except (RuntimeError, ValueError) as error:
        raise ConfigurationError(
            f"the processes of this run do not find each other: {error}"
        ) from error
    return Processes(rank, count, local_rank, store)


def _of_exchange(error: RuntimeError) -> bool:
    """Return whether ``error`` says that an exchange between processes has failed."""
    # gloo's have no type of their own; they name its source files.
    return isinstance(error, distributed.DistError) or "gloo" in str(error)


def _is_first(store: Store) -> bool:
    try:
        return int(store.add("ended", 1)) == 1
    except RuntimeError:  # whoever kept the store is gone, and cannot tell
        return True
