"""How fast transcription is, how much memory it takes and how soon it starts, beside others.

Every system hears the same utterances, from waveforms in memory to texts, in a process of its own,
all on the same core, one system at a time and in turn, so that whatever else the machine does falls
on all of them alike. *One by one* is one utterance after the other, as `Recognizer.transcribe` and
`plainspeech transcribe` take short recordings; *together* is all of them in one call of
`Recognizer.transcribe_waveforms`, as `evaluate`, the server and the pieces of long recordings are:
in batches in float32, and an utterance a thread.

Beside the MODELs, each a bundle or ``bundled``, in each precision that they have:

- PyTorch: the network of ``--checkpoint`` as it is, between this package's features and its greedy
  decoder, in float32;
- pocketsphinx with its own English models and its default settings, by the Python of
  ``--pocketsphinx``, which needs numpy and soundfile too. It hears every utterance once, some of
  them in each round.

Error rates are of the whole corpus; of their differences, the 95 % bootstrap interval is shown.
Ratios are medians of the rounds' own. Times on one core are processor time, which is what the wall
shows where nothing else runs; *busy* is the one over the other and tells whether that was so. Where
this process may use two cores, speed is measured on both as well, by the wall. Peak memory is the
process's: interpreter, libraries, models, and the utterance at hand, or all of them together.

The floor is what the network's multiply-adds would take at the rate of a large float32 matrix
product by the fastest of NumPy, PyTorch and onnxruntime, on the same core in the same rounds. Cold
starts are whole processes, whose files are in the disk's cache, and which hear one short recording.

    python -m benchmarks.transcription.speed bundled corpus/dev-clean.jsonl \
        --checkpoint runs/english-small/best.safetensors --pocketsphinx PYTHON
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.transcription.frontier import path_of
from benchmarks.transcription.rounds import SYSTEMS, Corpus, System, cold_starts, take_turns
from benchmarks.transcription.tables import (
    MATRICES,
    ONE_BY_ONE,
    POCKETSPHINX,
    PYTORCH,
    TOGETHER,
    cores_table,
    parts_table,
    speed_table,
    starts_table,
    surroundings,
)
from plainspeech.data.manifest import read_manifest
from plainspeech.errors import PlainspeechError
from plainspeech.files import write_atomically
from plainspeech.runtime.bundle import Bundle

DECODERS = ("greedy", "beam")
SAMPLE = Path(__file__).parents[2] / "samples" / "2803-154328-0001.flac"
TRANSCRIBE = [sys.executable, "-m", "plainspeech", "transcribe"]


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        models: bundles.
        checkpoint: for PyTorch, if that is.
        pocketsphinx: an interpreter that has it, if that is.
    """

    models: Sequence[str]
    checkpoint: Path | None
    pocketsphinx: str | None

    @cached_property
    def bundles(self) -> dict[str, Bundle]:
        """The models by what they are called."""
        return {model: Bundle.load(path_of(model)) for model in self.models}

    def recognizers(self) -> Iterator[tuple[str, str, dict[str, str]]]:
        """Yield this package's recognisers: label, model and options."""
        for model, bundle in self.bundles.items():
            for precision, decoder in itertools.product(sorted(bundle.networks), DECODERS):
                options = {"model": str(bundle.origin), "precision": precision, "decoder": decoder}
                yield f"{model}, {precision}, {decoder}", model, options

    def ours(self) -> Iterator[System]:
        """Yield this package with each model, precision, decoder and way."""
        costs = {model: multiply_adds(bundle) for model, bundle in self.bundles.items()}
        for label, model, options in self.recognizers():
            for way in (ONE_BY_ONE, TOGETHER):
                yield System(
                    f"{label}, {way}",
                    "plainspeech",
                    {**options, "together": way == TOGETHER},
                    multiply_adds=costs[model],
                )

    def pytorch(self) -> Iterator[System]:
        """Yield the same network in PyTorch."""
        if self.checkpoint:
            cost = multiply_adds(next(iter(self.bundles.values())))
            options = {"checkpoint": str(self.checkpoint)}
            yield System(PYTORCH, "pytorch", options, multiply_adds=cost)

    def peers(self) -> Iterator[System]:
        """Yield the others."""
        yield from self.pytorch()
        if self.pocketsphinx:
            yield System(POCKETSPHINX, "pocketsphinx", python=self.pocketsphinx, slow=True)

    def programs(self) -> dict[str, list[str]]:
        """Return commands that print the text of one recording, by what they run."""
        found = {}
        for label, _, options in self.recognizers():
            given = [part for name, value in options.items() for part in (f"--{name}", value)]
            found[label] = [*TRANSCRIBE, *given, str(SAMPLE)]
        for system in self.peers():
            task = ["once", system.name, json.dumps({"threads": 1, **system.options})]
            found[system.label] = [system.python, "-m", SYSTEMS, *task, str(SAMPLE)]
        return found


def main(
    models: Annotated[list[str], typer.Argument(help="Bundles, or bundled.")],
    manifest: Annotated[Path, typer.Argument(help="Recordings and what was said.")],
    checkpoint: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="The first model's weights, for PyTorch."),
    ] = None,
    pocketsphinx: Annotated[
        str | None, typer.Option(help="Python of an environment that has it.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Take every so manieth utterance.")] = 1,
    repeat: Annotated[int, typer.Option(min=1, help="Rounds.")] = 5,
    starts: Annotated[int, typer.Option(min=1, help="Cold starts of each.")] = 9,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all that was measured there.")
    ] = None,
) -> None:
    """Measure and print."""
    plan, utterances = Plan(models, checkpoint, pocketsphinx), read_manifest(manifest)[::every]
    if repeat > len(utterances):
        raise PlainspeechError(f"--repeat {repeat}: there are only {len(utterances)} utterances")
    cores = sorted(os.sched_getaffinity(0))[:2]
    # First: the beam search is compiled once for a machine, which would take memory of the rounds.
    launched = cold_starts(plan.programs(), cores[0], starts)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus(utterances, Path(folder))
        systems = [*plan.ours(), *plan.peers(), System(MATRICES, "matrices")]
        found = [take_turns(systems, corpus, cores[:1], repeat)]
        if len(cores) > 1:
            systems = [*plan.ours(), *plan.pytorch()]
            found.append(take_turns(systems, corpus, cores, repeat))
    hours = sum(corpus.durations) / 3600
    console = Console(width=132)
    console.print(
        f"{len(utterances)} utterances of {manifest.name}, {hours:.2f} h; {repeat} rounds"
    )
    console.print(surroundings(found[0]))
    console.print(speed_table(found[0], corpus))
    if len(found) > 1:
        console.print(cores_table(*found))
    else:
        console.print("two cores: not measured, this process may use only one")
    console.print(parts_table(found[0]))
    console.print(starts_table(launched, found[0]))
    if json_file:
        record = {
            "command": sys.argv,
            "utterances": [utterance.id for utterance in utterances],
            "cores": [{label: asdict(one) for label, one in each.items()} for each in found],
            "starts": {label: list(map(asdict, each)) for label, each in launched.items()},
        }
        write_atomically(json_file, json.dumps(record, indent=1).encode())


def multiply_adds(bundle: Bundle) -> float:
    """Return those of the network for a second of audio, whatever their precision."""
    from plainspeech.model.presets import preset
    from plainspeech.model.summary import summarise

    chosen = preset(bundle.card["preset"])
    frames = round(60_000 / chosen.features.hop_ms)
    model = chosen.build(bundle.alphabet.size, bundle.outputs - bundle.alphabet.size)
    stages = summarise(model, chosen.features.bins, frames)
    # Training alone has use for the intermediate output; bundles come without.
    used = (stage for stage in stages if stage.name != "intermediate output")
    return sum(stage.multiply_adds for stage in used) / 60


if __name__ == "__main__":
    try:
        typer.run(main)
    except PlainspeechError as error:
        sys.exit(f"error: {error}")
