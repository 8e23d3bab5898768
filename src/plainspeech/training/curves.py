"""Curves of a run: TensorBoard's event files while it goes, a PNG after every epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

from plainspeech.figures.style import save_figure
from plainspeech.figures.training_curves import training_figure
from plainspeech.training.loop import StepReport


class Curves:
    """Writes the curves of the run in ``folder``; a context that closes what it opened.

    Args:
        folder: of the run.
        step: the last of a run that resumes. TensorBoard drops those after it: they are done again.
        history: of a run that resumes; its PNG is drawn, which a kill may have prevented.
    """

    def __init__(
        self, folder: Path, step: int, history: Sequence[Mapping[str, float]] = ()
    ) -> None:
        self._folder = folder
        if history:
            draw_curves(history, folder / "curves.png")
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def __enter__(self) -> Curves:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()

    def step(self, report: StepReport) -> None:
        """Note one optimiser step."""
        values = {"loss": report.loss, "learning rate": report.learning_rate}
        self._scalars(values, report.progress.step)

    def epoch(self, history: Sequence[Mapping[str, float]]) -> None:
        """Note the last epoch of ``history`` and draw the PNG again."""
        last = history[-1]
        rates = {"train WER": "train_wer", "dev WER": "dev_wer", "dev CER": "dev_cer"}
        self._scalars(
            {name: last[key] for name, key in rates.items() if key in last}, int(last["step"])
        )
        draw_curves(history, self._folder / "curves.png")

    def _scalars(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)


def draw_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw training loss and error rates over the epochs into a PNG."""
    save_figure(training_figure(history), path)
