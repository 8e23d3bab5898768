"""Workers that die, at any time, lose nothing and double nothing."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from pathlib import Path

import fake_workers
import pytest

from plainspeech.bulk.local import LocalEngine
from plainspeech.bulk.work import Item, Outcome
from plainspeech.errors import ConfigurationError, ModelError


def items(*ids: str) -> list[Item]:
    return [Item(each, f"/{each}.wav", 1.0) for each in ids]


def engine(folder: Path, workers: int = 2) -> LocalEngine:
    return LocalEngine(partial(fake_workers.FakeTranscriber, folder), workers)


def test_a_worker_that_dies_is_replaced_and_its_item_tried_again(tmp_path: Path) -> None:
    ids = ["a", "die-1-first", "b", "broken-c", "die-2-d", "e", "die-9-always", "f", "g"]
    outcomes = list(engine(tmp_path).run(items(*ids)))
    assert Counter(each.id for each in outcomes) == Counter(ids)
    failed = {each.id: each.error for each in outcomes if each.row is None}
    assert failed == {
        "broken-c": "is broken",
        "die-9-always": "/die-9-always.wav: its worker died at each of 3 attempts (killed by "
        "SIGKILL)",
    }
    attempts = {each: (tmp_path / each).stat().st_size for each in ids}
    assert attempts == {
        **dict.fromkeys(ids, 1),
        "die-1-first": 2,
        "die-2-d": 3,
        "die-9-always": 3,
    }


def test_no_item_is_no_process(tmp_path: Path) -> None:
    assert list(engine(tmp_path).run([])) == []


def test_a_model_that_cannot_be_loaded_is_one_error() -> None:
    with pytest.raises(ModelError, match="no such model"):
        list(LocalEngine(fake_workers.no_model, 2).run(items("a", "b", "c")))


def test_workers_that_die_while_they_load_end_the_run() -> None:
    message = r"--workers: 3 in a row ended while they loaded the model \(exit status 3\)"
    with pytest.raises(ConfigurationError, match=message):
        list(LocalEngine(fake_workers.die_at_once, 1).run(items("a", "b")))


def test_a_run_that_is_closed_leaves_no_process(tmp_path: Path) -> None:
    running = engine(tmp_path)
    outcomes = running.run(items("a", "wait-b"))
    assert next(outcomes) == Outcome("a", "/a.wav", '{"id": "a"}', None, 1.0, 0.5)
    processes = [worker.pid for worker in running.workers]
    outcomes.close()
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
