"""``plainspeech evaluate``."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plainspeech.cli.options import (
    DecoderOption,
    DeviceOption,
    FrequencyWarpsOption,
    LanguageModelOption,
    PrecisionOption,
    device_warnings,
    parse_warps,
    wants_digits,
)
from plainspeech.cli.output_files import check_writable
from plainspeech.cli.terminal import WIDEST_TABLE, counted, needs, stderr, stdout
from plainspeech.errors import DataError

if TYPE_CHECKING:
    from plainspeech.data.manifest import Utterance
    from plainspeech.evaluation.conventions import Convention
    from plainspeech.evaluation.recognition import Recognition, Unreadable
    from plainspeech.evaluation.report import Evaluation
    from plainspeech.runtime.live import LiveModel
    from plainspeech.runtime.recognizer import Recognizer


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="Model bundle, folder or zip; 'bundled' is the English model of the package.",
            metavar="MODEL",
        ),
    ],
    manifest: Annotated[
        Path, typer.Argument(help="Manifest, as `data prepare` writes it.", metavar="MANIFEST")
    ],
    decoder: DecoderOption = None,
    language_model: LanguageModelOption = None,
    precision: PrecisionOption = None,
    frequency_warps: FrequencyWarpsOption = None,
    device: DeviceOption = "cpu",
    streaming: Annotated[
        bool,
        typer.Option("--streaming", help="Measure live transcription, with the streaming network."),
    ] = False,
    listing: Annotated[
        int,
        typer.Option(
            min=0, help="How many utterances to print, actual and predicted text aligned."
        ),
    ] = 5,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", help="Write every count and hypothesis to this file.", dir_okay=False
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Find what each error is due to; it goes into the JSON, too."
        ),
    ] = False,
    case: Annotated[
        bool, typer.Option("--case", help="Upper and lower case differ in scoring.")
    ] = False,
    punctuation: Annotated[
        bool, typer.Option("--punctuation", help="Punctuation counts in scoring.")
    ] = False,
    ignore_apostrophes: Annotated[
        bool, typer.Option("--ignore-apostrophes", help="Apostrophes do not count in scoring.")
    ] = False,
    numbers: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="In scoring, words: as they were transcribed; digits: a number in words and in "
            "digits is the same (English).",
        ),
    ] = "words",
    variants: Annotated[
        Path | None,
        typer.Option(
            help="A file of other spellings: a word a line, and what is written instead of it in "
            "scoring.",
            show_default=False,
        ),
    ] = None,
    sclite: Annotated[
        Path | None,
        typer.Option(
            help="Write ref.trn and hyp.trn for NIST sclite to this folder.", file_okay=False
        ),
    ] = None,
) -> None:
    """Measure the word and character error rates of a model."""
    from plainspeech.data.manifest import read_manifest
    from plainspeech.data.overview import uncounted
    from plainspeech.numbers import check_language
    from plainspeech.runtime.bundle import named_model
    from plainspeech.runtime.live import LiveModel
    from plainspeech.runtime.recognizer import load_model

    with needs("evaluate"):
        from plainspeech.evaluation.conventions import Convention, read_variants
        from plainspeech.evaluation.listing import write_trn
        from plainspeech.evaluation.report import write_json
    for file in (json_file, sclite and sclite / "ref.trn"):
        if file:
            check_writable(file)
    digits = wants_digits(numbers)
    convention = Convention(
        case,
        punctuation,
        apostrophes=not ignore_apostrophes,
        variants=read_variants(variants) if variants else {},
        numbers="digits" if digits else "words",
    )
    utterances = read_manifest(manifest)
    with device_warnings():
        loaded = load_model(
            named_model(Path(model)),
            decoder=decoder,
            language_model=language_model,
            precision=precision,
            frequency_warps=parse_warps(frequency_warps),
            streaming=streaming,
            device=device,
        )
    if digits:
        check_language(loaded.bundle.card.get("language"))
    texts = [convention.varied(utterance.text) for utterance in utterances]
    if told := uncounted(str(manifest), texts, loaded.bundle.alphabet, digits):
        stderr().print(told, style="yellow")
    recognizer: Recognizer | LiveModel = LiveModel(loaded) if streaming else loaded
    recognition = _recognise(recognizer, utterances, explain, convention)
    if not recognition.pairs:
        raise DataError(f"{manifest}: none of its recordings can be read")
    network = f"{'streaming ' if streaming else ''}{recognizer.bundle.network_description}"
    evaluation = replace(
        _evaluation(recognizer, network, model, manifest, recognition),
        convention=convention.description,
        options={
            "decoder": decoder,
            "language_model": language_model and str(language_model),
            "precision": recognizer.bundle.precision,
            "frequency_warps": list(recognizer.bundle.frequency_warps.factors),
            "streaming": streaming,
        },
    )
    try:
        if json_file:
            write_json(json_file, evaluation)
        if sclite:
            write_trn(sclite, recognition.pairs)
    finally:  # a full disk does not cost the figures
        _print(evaluation, listing)
    if recognition.missing:
        raise typer.Exit(1)


def _recognise(
    recognizer: Recognizer | LiveModel,
    utterances: list[Utterance],
    explain: bool,
    convention: Convention,
) -> Recognition:
    """Recognise ``utterances``, show how many were, and print an error for each missing one."""
    from plainspeech.evaluation.recognition import recognise

    console = stderr()
    with counted(console, "evaluating", len(utterances)) as advance:

        def on_unreadable(utterance: Unreadable) -> None:
            console.print(f"error: {utterance.reason}")

        return recognise(recognizer, utterances, advance, on_unreadable, explain, convention)


def _evaluation(
    recognizer: Recognizer | LiveModel,
    network: str,
    model: str,
    manifest: Path,
    recognition: Recognition,
) -> Evaluation:
    from plainspeech.evaluation.error_rates import Scores
    from plainspeech.evaluation.report import Evaluation

    return Evaluation(
        model=model,
        model_name=str(recognizer.bundle.card.get("name", "")),
        manifest=str(manifest),
        network=network,
        decoder=recognizer.decoder.description,
        command=shlex.join(["plainspeech", *sys.argv[1:]]),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        recognition=recognition,
        scores=Scores.of(recognition.pairs),
    )


def _print(evaluation: Evaluation, number: int) -> None:
    from plainspeech.evaluation.listing import evenly_spaced, listing
    from plainspeech.evaluation.report import cause_table, headline, speaker_table, summary_table

    console = stdout()
    for pair in evenly_spaced(evaluation.scores.pairs, number):
        console.print(listing(pair, console.width), soft_wrap=True, end="\n\n")
    tables = stdout(width=WIDEST_TABLE)
    tables.print(speaker_table(evaluation.scores))
    console.print(headline(evaluation), soft_wrap=True)
    tables.print(summary_table(evaluation))
    if causes := cause_table(evaluation.recognition):
        tables.print(causes)
