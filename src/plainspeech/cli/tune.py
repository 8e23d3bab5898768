"""``plainspeech tune``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plainspeech.cli.interruption import Interrupted, interrupted_by_sigterm
from plainspeech.cli.options import FrequencyWarpsOption, parse_warps
from plainspeech.cli.output_files import check_writable
from plainspeech.cli.terminal import (
    WIDEST_TABLE,
    ProgressLines,
    counted,
    needs,
    progress,
    stderr,
    stdout,
    track,
)
from plainspeech.errors import ConfigurationError, DataError, PlainspeechError

if TYPE_CHECKING:
    from plainspeech.data.manifest import Utterance
    from plainspeech.runtime.bundle import Bundle
    from plainspeech.tuning.dev_set import DevSet
    from plainspeech.tuning.optimisation import Stage, Trial, TuningHistory
    from plainspeech.tuning.outputs import Outputs
    from plainspeech.tuning.tuner import ComparisonRow, Tuner


def tune(
    model: Annotated[
        str,
        typer.Argument(
            help="Model bundle, a folder, which is changed. With --output or --dry-run also a zip, "
            "or 'bundled' for the English model.",
            metavar="MODEL",
        ),
    ],
    manifest: Annotated[
        Path,
        typer.Argument(help="Manifest of a dev set (never of a test set).", metavar="MANIFEST"),
    ],
    language_model: Annotated[
        Path | None,
        typer.Option(
            help="A scorer in place of the model's own, folder or zip.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the tuned model here and leave MODEL as it is."),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Number of trials of the weights.")] = 80,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the trials.")] = 0,
    thresholds: Annotated[
        bool,
        typer.Option(
            "--thresholds/--no-thresholds",
            help="Whether to tune the thresholds after the weights, or leave them as they are.",
        ),
    ] = True,
    frequency_warps: FrequencyWarpsOption = None,
    beam_width: Annotated[
        int | None,
        typer.Option(min=1, help="Width of the beam. Default: that of the model."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw the word error rate over alpha and beta to this PNG file.", dir_okay=False
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder to cache the outputs of the network in. Default: the user's cache."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Search and report, but change no model.")
    ] = False,
) -> None:
    """Tune the settings of the beam search, and write them into the model with its scorer.

    Ctrl-C or SIGTERM ends the search early and keeps the best settings found so far; a second one
    ends the fit of confidences and the comparison with before.
    """
    from plainspeech.data.manifest import read_manifest
    from plainspeech.runtime.bundle import Bundle, named_model

    target = None if dry_run else _target(model, output)
    utterances = read_manifest(manifest)
    bundle = Bundle.load(named_model(Path(model)))
    if (factors := parse_warps(frequency_warps)) is not None:
        bundle = bundle.with_frequency_warps(factors)
    with needs("tune"):
        from plainspeech.tuning.surface import draw_surface
        from plainspeech.tuning.tuner import Tuner, tuned_bundle
    if plot:
        check_writable(plot)
    tuner = Tuner.open(bundle, language_model, beam_width)
    dev_set = _dev_set(bundle, manifest, utterances, cache)
    with interrupted_by_sigterm() as signalled:
        history = _search(tuner, dev_set, trials, seed, thresholds)
        if not history.weights:
            raise Interrupted(
                "interrupted before the first trial ended; the model is unchanged", signalled.number
            )
        settings, rows, ended = history.chosen, [], history.finished
        lacking = "confidences are the default ones, and nothing was compared"
        try:
            if target:
                settings = tuner.calibrate(dev_set, settings, partial(track, what="confidences"))
            lacking = "nothing was compared"
            rows = tuner.compare(dev_set, history.chosen, partial(track, what="comparing"))
        except KeyboardInterrupt:
            ended = False
            stderr().print(f"interrupted: the settings are those found; {lacking}")
    if target:
        entry = _entry(manifest, dev_set, history, seed, rows)
        tuned_bundle(bundle, settings, tuner.scorer_files, entry).write(target)
    _print(history, rows, target)
    if rows:
        _warn_if_worse(rows, "another language model" if tuner.is_new else "more --trials")
    if plot:
        title = f"{bundle.card.get('name', model)} on {manifest.name}"
        draw_surface(plot, history.weights, history.chosen, title)
        stderr().print(f"{plot}: written")
    if not ended:
        raise typer.Exit(signalled.status)
    if dev_set.outputs.missing:
        raise typer.Exit(1)


def _target(model: str, output: Path | None) -> Path:
    """Return the folder that the tuned model becomes."""
    from plainspeech.artifact.writing import check_folder_writable
    from plainspeech.runtime.bundle import BUNDLE, named_model

    if output is None and named_model(Path(model)) != Path(model):
        raise ConfigurationError(f"{model}: give a folder for the tuned model (--output FOLDER)")
    if output is None and Path(model).is_file():
        raise ConfigurationError(
            f"{model}: is not a folder; unpack it, or give a folder for the tuned model "
            f"(--output FOLDER)"
        )
    target = Path(model) if output is None else output
    check_folder_writable(target, BUNDLE)
    return target


def _dev_set(
    bundle: Bundle, manifest: Path, utterances: list[Utterance], folder: Path | None
) -> DevSet:
    """Return the dev set with the model's outputs, from the cache if it has them."""
    from plainspeech.data.overview import uncounted
    from plainspeech.tuning.dev_set import DevSet
    from plainspeech.tuning.outputs import cache_file, default_folder, load

    console = stderr()
    texts = [utterance.text for utterance in utterances]
    if told := uncounted(str(manifest), texts, bundle.alphabet):
        console.print(told, style="yellow")
    file = cache_file(folder or default_folder(), bundle, manifest, utterances)
    outputs = load(file, utterances, bundle.outputs)
    if outputs:
        console.print(f"{file}: using the cached outputs of the model")
    else:
        outputs = _computed(bundle, utterances)
        _keep(file, outputs, len(utterances), bundle.outputs)
    for missing in outputs.missing.values():
        console.print(f"error: {missing.reason}")
    if not any(map(len, outputs.log_probabilities.values())):
        raise DataError(f"{manifest}: none of its recordings can be read")
    return DevSet(utterances, outputs, bundle.alphabet)


def _computed(bundle: Bundle, utterances: list[Utterance]) -> Outputs:
    from plainspeech.runtime.decoders import choose_decoder
    from plainspeech.runtime.recognizer import Recognizer
    from plainspeech.tuning.outputs import compute

    recognizer = Recognizer(bundle, None, choose_decoder(bundle, "greedy"))
    with counted(stderr(), "running the model", len(utterances)) as advance:
        return compute(recognizer, utterances, advance)


def _keep(file: Path, outputs: Outputs, count: int, symbols: int) -> None:
    """Save ``outputs``; where that fails, tuning continues without."""
    from plainspeech.tuning.outputs import save

    try:
        save(file, outputs, count, symbols)
    except PlainspeechError as error:
        stderr().print(f"the outputs are not saved: {error}", style="yellow")
    else:
        stderr().print(f"{file}: outputs of the model cached for the next run")


def _search(
    tuner: Tuner, dev_set: DevSet, trials: int, seed: int, thresholds: bool
) -> TuningHistory:
    from plainspeech.tuning.optimisation import THRESHOLD_TRIALS

    pairs = THRESHOLD_TRIALS if thresholds else 0
    totals: dict[Stage, int] = {"weights": trials, "thresholds": pairs}
    rates: dict[Stage, list[float]] = {stage: [] for stage in totals}
    lines = ProgressLines(stderr())
    with progress(stderr()) as bars:
        tasks = {
            stage: bars.add_task(stage, total=total, visible=total > 0)
            for stage, total in totals.items()
        }

        def on_trial(stage: Stage, trial: Trial) -> None:
            rates[stage].append(trial.word_error_rate)
            best = f"best WER {min(rates[stage]):.2%}"
            bars.update(tasks[stage], advance=1, description=f"{stage}, {best}")
            lines.update(lambda: f"{stage}: {len(rates[stage])} of {totals[stage]}, {best}")

        history = tuner.search(dev_set, trials, seed, on_trial, thresholds)
    if history.weights and not history.finished:
        stderr().print(
            f"interrupted: {len(history.weights)} of {trials} weights and "
            f"{len(history.thresholds)} of {pairs} thresholds tried; the best weights are kept, "
            f"with {'wide thresholds' if thresholds else 'the thresholds of before'}"
        )
    return history


def _entry(
    manifest: Path,
    dev_set: DevSet,
    history: TuningHistory,
    seed: int,
    rows: Sequence[ComparisonRow],
) -> dict[str, Any]:
    """Return the entry on the model's card."""
    from plainspeech.tuning.tuner import card_figures

    return {
        "manifest": str(manifest),
        "utterances": len(dev_set.outputs.log_probabilities),
        "hours": round(dev_set.outputs.audio_seconds / 3600, 2),
        "command": shlex.join(["plainspeech", *sys.argv[1:]]),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "trials": {"weights": len(history.weights), "thresholds": len(history.thresholds)},
        "finished": history.finished,
        "seed": seed,
        **{row.name: card_figures(row) for row in rows},
    }


def _print(history: TuningHistory, rows: Sequence[ComparisonRow], target: Path | None) -> None:
    from plainspeech.tuning.tuner import comparison, difference

    console = stdout(soft_wrap=True)
    for name, value in vars(history.chosen).items():
        if isinstance(value, float | int | str):
            console.print(f"{name:<21}{value}")
    if rows:
        stdout(width=WIDEST_TABLE).print(comparison(rows))
        change, interval = difference(rows[0], rows[-1])
        console.print(
            f"WER {100 * change:+.2f} points from before to tuned "
            f"({100 * interval.low:+.2f} to {100 * interval.high:+.2f})\n"
            f"ms: processor time to decode one second of audio\n"
            f"All figures are on the dev set that was tuned on, which favours the tuned settings."
        )
    stderr().print(f"{target}: written" if target else "dry run: the model is unchanged")


def _warn_if_worse(rows: Sequence[ComparisonRow], mend: str) -> None:
    """Say so if the tuned settings make more errors than those before, beyond what speed costs."""
    from plainspeech.tuning.optimisation import ALLOWED_LOSS

    before, tuned = rows[0].word_error_rate, rows[-1].word_error_rate
    if tuned > before + ALLOWED_LOSS:
        stderr().print(
            f"the tuned settings make more errors on the dev set than the model did before, "
            f"{tuned:.2%} of the words in place of {before:.2%}: keep the model as it was, or give "
            f"{mend}",
            style="yellow",
        )
