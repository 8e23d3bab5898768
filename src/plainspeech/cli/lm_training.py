"""``plainspeech lm train``: a recurrent language model for a scorer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plainspeech.cli.terminal import ProgressLines, needs, progress, stderr
from plainspeech.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from rich.console import Console

    from plainspeech.lm.neural import NeuralModel
    from plainspeech.lm.scorer import Scorer
    from plainspeech.training.language_model import HeldOut
    from plainspeech.training.language_model_loop import (
        LanguageModelReport,
        LanguageModelSettings,
        LanguageModelTrainer,
    )

_WEIGHT = 0.5  # of the model beside the n-grams, until it is tuned
_MOST_THREADS = 1024
_CHECKPOINT = "checkpoint.safetensors"


def train(
    scorer: Annotated[
        str,
        typer.Argument(
            metavar="SCORER", help="A scorer, folder or zip, or 'bundled', the English model's."
        ),
    ],
    texts: Annotated[
        list[Path],
        typer.Argument(
            metavar="TEXT...",
            help="One sentence a line, in UTF-8; .gz, .xz and .bz2 are decompressed.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write the scorer with the model to.")
    ],
    words: Annotated[
        int,
        typer.Option(
            help="That are told apart: the most frequent of TEXT that the scorer has; the others "
            "share what they get together as their unigrams are."
        ),
    ] = 20_000,
    width: Annotated[int, typer.Option(help="Of the embeddings of the words.")] = 192,
    hidden: Annotated[int, typer.Option(help="Units of the recurrent layer.")] = 320,
    epochs: Annotated[float, typer.Option(help="Passes over TEXT; 0.5 is half of one.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of all that is drawn at random.")] = 1,
    threads: Annotated[
        int | None,
        typer.Option(help="To compute with; by default one a processor.", show_default=False),
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option(help="Text that is not in TEXT, to measure the perplexity on."),
    ] = None,
) -> None:
    """Train a recurrent language model for a scorer, or resume a run that was stopped."""
    from plainspeech.artifact.writing import check_folder_writable, write_folder
    from plainspeech.cli.train import alone_in, stopped_by_signals
    from plainspeech.lm.build import record_of_texts
    from plainspeech.lm.neural import require_words
    from plainspeech.lm.package import SCORER, read_scorer_files, with_neural
    from plainspeech.lm.scorer import Scorer
    from plainspeech.runtime.bundle import named_scorer

    with needs("train"):
        from plainspeech.training.language_model_loop import LanguageModelSettings
    settings = LanguageModelSettings(words, width, hidden, epochs, seed)
    _check_threads(threads)
    check_texts([*texts, *([held_out] if held_out else [])])
    files = read_scorer_files(named_scorer(scorer))
    loaded = Scorer.from_files(Path(scorer), files)
    require_words(loaded.vocabulary, scorer)
    check_folder_writable(output, SCORER)
    console = stderr()
    place = _folder_of_run(output)
    with alone_in(place), _removed_if_empty(place), _computing_threads(threads):
        checkpoint = place / _CHECKPOINT
        trainer, sentences = _trainer(loaded, texts, held_out, settings, checkpoint, console)
        if trainer.resume():
            console.print(f"resuming {checkpoint} after {trainer.step} of {trainer.steps} steps")

        def kept() -> str:
            return (
                f"stopped and saved after {trainer.step} of {trainer.steps} steps; the same "
                f"command resumes from there"
            )

        with stopped_by_signals(trainer, kept):
            model, found = _fit(trainer, sentences, console)
        source: dict[str, Any] = {
            "texts": record_of_texts(texts),
            "epochs": settings.epochs,
            "seed": settings.seed,
        }
        if found and held_out:
            source["held_out"] = record_of_texts([held_out])
            source["perplexity"] = round(found.perplexity, 2)
        write_folder(output, with_neural(files, model, _WEIGHT, source), SCORER)
        checkpoint.unlink(missing_ok=True)
    console.print(
        f"{output}: has the model, with weight {_WEIGHT:g}; plainspeech tune finds the best one"
    )


def check_texts(texts: Sequence[Path]) -> None:
    """Check, before long computations, that ``texts`` are files.

    Raises:
        DataError: one is not.
    """
    for text in texts:
        if not text.exists():
            raise DataError(f"{text}: no such file")
        if not text.is_file():
            raise DataError(
                f"{text}: is a folder or a pipe; a text is read more than once, from a file"
            )


def _check_threads(threads: int | None) -> None:
    if threads is not None and not 1 <= threads <= _MOST_THREADS:
        raise ConfigurationError(f"--threads is {threads}; it must be from 1 to {_MOST_THREADS:,}")


@contextmanager
def _computing_threads(threads: int | None) -> Iterator[None]:
    """Have torch compute with so many, by default one a processor, within the block alone."""
    import torch

    from plainspeech.cores import available_cores

    before = torch.get_num_threads()
    torch.set_num_threads(threads or available_cores())
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _folder_of_run(output: Path) -> Path:
    """Return where the checkpoint is; not in the output, which is replaced as a whole."""
    whole = output.resolve()
    return whole.with_name(f"{whole.name}.training")


@contextmanager
def _removed_if_empty(folder: Path) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(OSError):  # it has a checkpoint
            folder.rmdir()


def _trainer(
    scorer: Scorer,
    texts: Sequence[Path],
    held_out: Path | None,
    settings: LanguageModelSettings,
    checkpoint: Path,
    console: Console,
) -> tuple[LanguageModelTrainer, list[list[int]]]:
    """Return what trains on ``texts``, and the sentences of ``held_out``."""
    from plainspeech.alphabet import Alphabet
    from plainspeech.lm.neural import END, OTHER
    from plainspeech.training.language_model_loop import LanguageModelTrainer
    from plainspeech.training.language_text import number_sentences, number_text

    with console.status("Reading text"):
        alphabet = Alphabet((" ", *sorted(set("".join(scorer.words)))))
        text = number_text(texts, scorer.vocabulary, alphabet, settings.words)
        sentences = (
            number_sentences(held_out, text, scorer.vocabulary, alphabet) if held_out else []
        )
    other = int((text.rows == OTHER).sum())
    spoken = int((text.rows != END).sum())
    console.print(
        f"{spoken:,} words of text; {len(text.words) - 2:,} different ones are told apart, "
        f"{100 * other / spoken:.2f} % of the text are others"
    )
    return LanguageModelTrainer(text, settings, checkpoint), sentences


def _fit(
    trainer: LanguageModelTrainer, sentences: Sequence[Sequence[int]], console: Console
) -> tuple[NeuralModel, HeldOut | None]:
    """Train, with a progress bar on a terminal and a line a minute elsewhere."""
    fields = "loss {task.fields[loss]:.3f}  {task.fields[speed]:,.0f} words/s"
    last: HeldOut | None = None
    with progress(console, fields, transient=False) as bars:
        bar = bars.add_task(
            "training", total=trainer.steps, completed=trainer.step, loss=0.0, speed=0.0
        )
        measure, lines = _Measure(), ProgressLines(console)

        def on_step(report: LanguageModelReport) -> None:
            measure.update(report)
            lines.update(lambda: _step_line(report, measure))
            bars.update(bar, completed=report.step, loss=measure.loss, speed=measure.speed)

        def on_held_out(step: int, found: HeldOut) -> None:
            nonlocal last
            last = found
            console.print(f"step {step} of {trainer.steps}  {_held_out_line(found)}")
            measure.restart()

        return trainer.fit(on_step, sentences, on_held_out), last


def _step_line(report: LanguageModelReport, measure: _Measure) -> str:
    left = (report.steps - report.step) * report.words / max(measure.speed, 1e-9)
    return (
        f"step {report.step} of {report.steps}  loss {measure.loss:.3f}  "
        f"{measure.speed:,.0f} words/s  {left / 60:.0f} min left"
    )


def _held_out_line(found: HeldOut) -> str:
    return (
        f"held-out perplexity {found.perplexity:.2f} over {found.words:,} words and sentence ends, "
        f"of which {found.others:,} count as one other word; ln of the sum "
        f"{found.log_sum:.2f} ± {found.log_sum_deviation:.2f}"
    )


class _Measure:
    """Loss and words a second, smoothed over about fifty steps."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()
        self.loss = self.speed = 0.0

    def restart(self) -> None:
        """Leave the time since the last step out."""
        self._at = self._clock()

    def update(self, report: LanguageModelReport) -> None:
        now = self._clock()
        speed = report.words / max(now - self._at, 1e-9)
        kept = 0.98 if self.speed else 0.0
        self.loss = kept * self.loss + (1 - kept) * report.loss
        self.speed = kept * self.speed + (1 - kept) * speed
        self._at = now
