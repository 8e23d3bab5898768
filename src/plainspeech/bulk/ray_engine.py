"""The Ray engine: Ray Data over a pool of actors, on this machine or on a cluster.

What is lost with a worker is tried again, an item at a time: Ray Data drops the blocks of workers
that died, and each pass takes what the passes before it have not given.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from plainspeech.bulk.items import planned
from plainspeech.bulk.work import ATTEMPTS, Item, Outcome, Transcribe
from plainspeech.cores import available_cores
from plainspeech.errors import ConfigurationError, ModelError, PlainspeechError, how_to_install

_GROUP_ITEMS = 16  # of a task, at most; Ray takes some milliseconds for each
_MOST_GROUPS = 10_000  # of a pass, unless that makes larger ones necessary
_GROUPS_EACH = 8  # for a worker, at least where there are so many items
_STORE_BYTES = 200_000_000  # of shared memory for items and rows on the way


class RayEngine:
    """Ray actors: of the cluster that ``RAY_ADDRESS`` names, else of one of this machine.

    Args:
        make: makes what a worker does, in the worker; picklable.
        workers: their number; by default the cores of the cluster or machine.

    Raises:
        ConfigurationError: Ray is not installed.
    """

    def __init__(self, make: Callable[[], Transcribe], workers: int | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray.data  # noqa: F401  # it fails now, and not after the recordings are listed
        except ImportError as error:
            raise ConfigurationError(
                f"--engine: {error}; this needs the ray extra: {how_to_install('ray')}"
            ) from error
        self._make = make
        self._count = workers

    def run(self, items: Iterable[Item]) -> Generator[Outcome, None, None]:
        """Yield the outcomes of ``items`` as they come; closing the generator ends the workers.

        Raises:
            PlainspeechError: the model cannot be loaded.
            ConfigurationError: there is no cluster, or its workers die while they load the model.
        """
        every = list(items)
        if not every:
            return
        with _cluster(self._count) as workers:
            left = {item.id: item for item in planned(every, workers)}
            for attempt in range(ATTEMPTS):
                largest = 1 if attempt else max(_GROUP_ITEMS, len(left) // _MOST_GROUPS)
                for outcome in self._pass(grouped(list(left.values()), workers, largest), workers):
                    del left[outcome.id]
                    yield outcome
                if not left:
                    return
                if len(left) == len(every) > ATTEMPTS:
                    raise ConfigurationError(
                        f"--workers: all died, and not one of {len(left)} recordings was "
                        f"transcribed; take fewer if the memory does not suffice"
                    )
        for item in left.values():
            reason = f"its worker died at each of {ATTEMPTS} attempts"
            yield Outcome(item.id, item.audio, error=f"{item.audio}: {reason}")

    def _pass(self, groups: Sequence[Sequence[Item]], workers: int) -> Iterator[Outcome]:
        """Yield the outcomes of those ``groups`` whose workers did not die."""
        import ray.data

        rows = [{"group": json.dumps([asdict(item) for item in group])} for group in groups]
        outcomes = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Worker,
            fn_constructor_args=(self._make,),
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(rows))),
            num_cpus=1,
            max_restarts=-1,
            max_task_retries=0,
        )
        for row in outcomes.iter_rows():
            result = json.loads(row["outcomes"])
            if isinstance(result, str):
                raise ModelError(result)
            yield from (Outcome(**values) for values in result)


class _Worker:
    """Transcribes groups of items in an actor.

    Args:
        make: makes what does it.
    """

    def __init__(self, make: Callable[[], Transcribe]) -> None:
        # Not here: an actor that dies while it is made is made again and again.
        self._make = make
        self._made: Transcribe | None = None

    def __call__(self, batch: Any) -> Any:
        """Return the outcomes of each group of ``batch``, a table with a column of JSON."""
        import pyarrow

        results = [self._of_group(group.as_py()) for group in batch["group"]]
        return pyarrow.table({"outcomes": pyarrow.array(results, pyarrow.large_string())})

    def _of_group(self, group: str) -> str:
        """Return the outcomes of a group, or what the model's loading raised, as a string."""
        try:
            transcribe = self._made = self._made or self._make()
        except PlainspeechError as error:
            return json.dumps(str(error))
        items = [Item(**values) for values in json.loads(group)]
        return json.dumps([asdict(transcribe(item)) for item in items])


def grouped(items: Sequence[Item], workers: int, largest: int) -> list[list[Item]]:
    """Return ``items``, in order, in groups of up to ``largest``; a long one is alone."""
    known = all(item.size >= 0 for item in items)  # not so where one is NaN
    sizes = [item.size if known else 1.0 for item in items]
    limit = sum(sizes) / (workers * _GROUPS_EACH)
    groups: list[list[Item]] = []
    room = 0.0
    for item, size in zip(items, sizes, strict=True):
        if not groups or len(groups[-1]) == largest or size > room:
            groups.append([])
            room = limit
        groups[-1].append(item)
        room -= size
    return groups


@contextmanager
def _cluster(workers: int | None) -> Iterator[int]:
    """Connect to a cluster, or start one that leaves nothing behind; yield how many workers."""
    import ray
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # of workers that died; their items are in the next pass
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    # A short name: Ray's sockets are in there, and their paths may have 107 bytes.
    folder = tempfile.mkdtemp(prefix="ray-")
    # Ray ends what it has started when this process ends; after that, for it comes first here.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        _start(workers, folder)
        yield workers or max(1, int(ray.cluster_resources()["CPU"]))  # type: ignore[no-untyped-call]
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _start(workers: int | None, folder: str, attempts: int = ATTEMPTS) -> None:
    """Connect to the cluster that ``RAY_ADDRESS`` names, or start one in ``folder``."""
    import ray

    local: dict[str, Any] = {}
    if "RAY_ADDRESS" not in os.environ:
        local = {
            "num_cpus": workers or available_cores(),
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
            "_temp_dir": folder,
        }
    try:
        ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **local)
    except Exception as error:  # of any class; on a busy machine Ray does not wait long enough
        if attempts == 1:
            raise ConfigurationError(f"--engine: Ray cannot be started: {error}") from error
        _start(workers, folder, attempts - 1)
