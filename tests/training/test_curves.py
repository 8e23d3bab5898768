from __future__ import annotations

import struct
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from plainspeech.training.checkpoint import Progress
from plainspeech.training.curves import Curves, draw_curves
from plainspeech.training.loop import StepReport

HISTORY = [
    {"epoch": 1, "step": 2, "train_loss": 3.0, "dev_wer": 1.25, "dev_cer": 0.75},
    {"epoch": 2, "step": 4, "train_loss": 1.0, "dev_wer": 0.5, "dev_cer": 0.25},
]


def report(step: int, loss: float) -> StepReport:
    return StepReport(Progress(step=step), 2, loss, step / 1024, 10.0)


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_every_epoch_leaves_a_png(tmp_path: Path) -> None:
    with Curves(tmp_path, step=0) as curves:
        curves.epoch(HISTORY[:1])
        first = (tmp_path / "curves.png").read_bytes()
        curves.epoch(HISTORY)
    content = (tmp_path / "curves.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (1080, 432)
    assert content[-8:-4] == b"IEND"
    assert content != first


def test_a_run_with_no_finished_epoch_can_be_drawn(tmp_path: Path) -> None:
    draw_curves([], tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 1000


def test_tensorboard_has_the_scalars(tmp_path: Path) -> None:
    with Curves(tmp_path, step=0) as curves:
        for step, loss in ((1, 4.0), (2, 3.0)):
            curves.step(report(step, loss))
        curves.epoch(HISTORY[:1])
    assert scalars(tmp_path, "loss") == [(1, 4.0), (2, 3.0)]
    assert scalars(tmp_path, "learning rate") == [(1, 1 / 1024), (2, 2 / 1024)]
    assert scalars(tmp_path, "dev WER") == [(2, 1.25)]
    assert scalars(tmp_path, "dev CER") == [(2, 0.75)]
    with Curves(tmp_path / "known", step=0) as curves:
        curves.epoch([{**HISTORY[0], "train_wer": 0.5}])
    assert scalars(tmp_path / "known", "train WER") == [(2, 0.5)]


def test_steps_after_the_checkpoint_are_replaced_and_those_before_it_stay(tmp_path: Path) -> None:
    with Curves(tmp_path, step=0) as curves:
        for step in range(1, 6):
            curves.step(report(step, 4.0))
    with Curves(tmp_path, step=3) as curves:  # the run was killed; its checkpoint is of step 3
        curves.step(report(4, 2.0))
    assert scalars(tmp_path, "loss") == [(1, 4.0), (2, 4.0), (3, 4.0), (4, 2.0)]


def test_a_run_that_resumes_has_its_picture(tmp_path: Path) -> None:
    # It was killed after the checkpoint of its last epoch, before the picture of it.
    with Curves(tmp_path, step=4, history=HISTORY):
        pass
    draw_curves(HISTORY, tmp_path / "wanted.png")
    assert (tmp_path / "curves.png").read_bytes() == (tmp_path / "wanted.png").read_bytes()


def test_the_events_are_closed_whatever_happens(tmp_path: Path) -> None:
    def interrupted() -> None:
        with Curves(tmp_path, step=0) as curves:
            curves.step(report(1, 4.0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert scalars(tmp_path, "loss") == [(1, 4.0)]
