"""Measures every table of the documents anew, one benchmark after the other.

What each prints goes to a file of its name in the output folder, below the command and what machine
it was; pictures, and the tables of docs/conditions.md, are written into the documents. A benchmark
whose data or peers are not given is named and left out. All take some hours of one core; nothing
else should run. With --quick each measures a few utterances once, and the documents stay as they
are: that shows that all of it runs, and its figures mean nothing.

    python -m benchmarks.run_all corpus measured --simulated simulated --scorer scorer \
        --binary model.binary --checkpoint best.safetensors --pocketsphinx PYTHON \
        --peer flashlight-text=PYTHON --kitchen doing_the_dishes.opus \
        --speakers corpus/speakers.jsonl --model earlier/english-small
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.processes import machine
from plainspeech.data.manifest import Utterance, read_manifest, write_manifest
from plainspeech.runtime.bundle import bundled_model_path

_SPEAKERS, _OF_A_SPEAKER = 7, 8  # of six others is the babble behind one
"""What is measured quickly."""

_DEV, _TRAIN = "dev-clean.jsonl", "train-clean-5.jsonl"
_COMMANDS = "an4/train.jsonl", "an4/dev.jsonl"  # by `plainspeech data split`

DOCS = Path(__file__).resolve().parents[1] / "docs"


@dataclass(frozen=True)
class Given:
    """What there is to measure with."""

    corpus: Path
    output: Path
    simulated: Path | None
    scorer: Path | None
    checkpoint: Path | None
    pocketsphinx: str | None
    pyctcdecode: str | None
    speakers: Path | None
    kitchen: tuple[Path, ...]
    peers: tuple[str, ...]
    models: tuple[Path, ...] = ()
    quick: bool = False
    binary: Path | None = None


@dataclass(frozen=True)
class Benchmark:
    """One command.

    Attributes:
        name: of the file with what it prints.
        page: that its tables stand in.
        module: that is run.
        arguments: of it.
        missing: what it needs and was not given; empty where it can run.
    """

    name: str
    page: str
    module: str
    arguments: list[str]
    missing: tuple[str, ...] = ()


def benchmarks(given: Given) -> Iterator[Benchmark]:
    """Yield all of them."""
    dev, train = given.corpus / _DEV, given.corpus / _TRAIN
    heard = _missing(**{dev.name: dev.exists()})
    pictures = given.output if given.quick else DOCS
    once = ["--rounds", "1"] if given.quick else []
    kitchen = [part for path in given.kitchen for part in ("--kitchen", str(path))]
    peers = [part for peer in given.peers for part in ("--peer", peer)]
    sphinx = ["--pocketsphinx", given.pocketsphinx] if given.pocketsphinx else []
    beside = [
        *(["--checkpoint", str(given.checkpoint)] if given.checkpoint else []),
        *sphinx,
        *("--json", str(given.output / "speed.json")),
        *(["--repeat", "1", "--starts", "1"] if given.quick else ["--repeat", "3"]),
    ]
    yield Benchmark(
        *("speed", "docs/speed.md", "benchmarks.transcription.speed"),
        ["bundled", str(dev), "--every", "6", *beside],
        heard,
    )
    drawn = [
        *("--picture", str(pictures / "speed.png"), "--json", str(given.output / "frontier.json")),
        *(["--repeat", "1"] if given.quick else []),
    ]
    yield Benchmark(
        *("frontier", "docs/speed.md", "benchmarks.transcription.frontier"),
        ["bundled", *map(str, given.models), str(dev), "--every", "6", *sphinx, *drawn],
        heard,
    )
    for decoder in ("beam", "greedy"):
        said = ["evaluate", "bundled", str(dev), "--decoder", decoder]
        yield Benchmark(f"evaluate_{decoder}", "README.md", "plainspeech", said, heard)
    long_audio = "benchmarks.transcription.long_audio"
    yield Benchmark(
        "long_audio", "docs/transcribing.md", long_audio, [str(dev), "--repeat", "1"], heard
    )
    yield Benchmark(
        "alignment", "docs/alignment.md", "benchmarks.alignment.measure", [str(dev)], heard
    )
    page = [] if given.quick else ["--page", str(DOCS / "conditions.md")]
    yield Benchmark(
        *("conditions", "docs/conditions.md", "benchmarks.conditions.measure"),
        [str(dev), str(given.output / "conditions.json"), "--every", "4", *kitchen, *page],
        heard + _missing(kitchen=given.kitchen),
    )
    picture = ["--picture", str(pictures / "confidence.png")]
    yield Benchmark(
        *("confidence", "docs/conditions.md", "benchmarks.conditions.confidence"),
        [str(dev), "--every", "3", *kitchen, *picture],
        heard + _missing(kitchen=given.kitchen),
    )
    searched = _missing(simulated=given.simulated, scorer=given.scorer)
    sets = [str(given.simulated), str(given.scorer)]
    compare = "benchmarks.decoder.compare"
    yield Benchmark(
        "decoder", "docs/beam-search.md", compare, ["simulated", *sets, *once, *peers], searched
    )
    few = ["--utterances", "8"] if given.quick else []
    yield Benchmark(
        *("decoder_real", "docs/beam-search.md", compare),
        ["real", "bundled", str(dev), str(given.scorer), *few, *once, *peers],
        heard + _missing(scorer=given.scorer),
    )
    yield Benchmark("growth", "docs/beam-search.md", compare, ["growth", *sets, *once], searched)
    binary = ["--binary", str(given.binary)] if given.binary else []
    yield Benchmark(
        *("loading", "docs/speed.md", "benchmarks.decoder.loading"),
        [str(given.scorer), *binary, *once, *peers],
        _missing(scorer=given.scorer, binary=given.binary),
    )
    yield Benchmark(
        *("agreement", "docs/coming-from.md", "benchmarks.decoder.agreement"),
        [*sets, "--pyctcdecode", str(given.pyctcdecode), *once],
        searched + _missing(pyctcdecode=given.pyctcdecode),
    )
    few = ["--requests", "16", *once, "--memory-requests", "0"] if given.quick else []
    yield Benchmark("serving", "docs/serving.md", "benchmarks.serving.load", few)
    few = ["--requests", "4", "--workers", "1"] if given.quick else []
    yield Benchmark("serving_memory", "docs/serving.md", "benchmarks.serving.memory", few)
    yield Benchmark(
        *("training", "docs/speed.md", "benchmarks.training.speed"),
        ["--manifest", str(train), "--steps", "1" if given.quick else "7", "--warm-up", "1"],
        _missing(**{train.name: train.exists()}),
    )
    commands = [given.corpus / name for name in _COMMANDS]
    where = [*map(str, commands), str(given.output / "ablation")]
    lexicon = ["--pronunciations", str(DOCS.parent / "recipes" / "english-pronunciations.txt")]
    picture = ["--picture", str(pictures / "ablation.png")]
    few = ["--minutes", "0.01"] if given.quick else []
    yield Benchmark(
        *("ablation", "docs/reference-design.md", "benchmarks.training.ablation"),
        [*where, *lexicon, *picture, *few],
        _missing(**{name: (given.corpus / name).exists() for name in _COMMANDS}),
    )
    read = ["--epochs", "1" if given.quick else "12", "--shard-size", "10"]
    yield Benchmark(
        *("packed", "docs/training.md", "benchmarks.training.packed"),
        [str(train), *read],
        _missing(**{train.name: train.exists()}),
    )
    adapted = ["--count", "1", "--minutes", "1"] if given.quick else []
    results = str(given.output / "adaptation.json")
    yield Benchmark(
        *("adaptation", "docs/fine-tuning.md", "benchmarks.training.adaptation"),
        [str(bundled_model_path()), str(given.speakers), str(dev), results, *adapted],
        heard + _missing(speakers=given.speakers),
    )


def _missing(**needs: object) -> tuple[str, ...]:
    return tuple(name for name, there in needs.items() if not there)


def main(
    corpus: Annotated[
        Path, typer.Argument(help="Folder with dev-clean.jsonl, train-clean-5.jsonl.")
    ],
    output: Annotated[Path, typer.Argument(help="Folder for what is printed.")],
    simulated: Annotated[Path | None, typer.Option(help="See benchmarks/README.md.")] = None,
    scorer: Annotated[Path | None, typer.Option(help="A packaged scorer.")] = None,
    binary: Annotated[Path | None, typer.Option(help="The same, KenLM's binary.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="The model's weights.")] = None,
    pocketsphinx: Annotated[
        str | None, typer.Option(help="A Python that has it, and soundfile.")
    ] = None,
    pyctcdecode: Annotated[str | None, typer.Option(help="A Python that has it.")] = None,
    speakers: Annotated[
        Path | None, typer.Option(help="A manifest of speakers with a quarter of an hour each.")
    ] = None,
    kitchen: Annotated[list[Path] | None, typer.Option(help="Recordings of noise.")] = None,
    peer: Annotated[list[str] | None, typer.Option(help="Decoders, NAME=PYTHON.")] = None,
    model: Annotated[
        list[Path] | None, typer.Option(help="Bundles to be drawn beside the bundled one.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Names; all if none.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only to see that all of it runs.")
    ] = False,
) -> None:
    """Measure, and tell at the end what failed or was left out."""
    output.mkdir(parents=True, exist_ok=True)
    given = Given(
        *(_cut(corpus, output) if quick else corpus, output, simulated, scorer, checkpoint),
        *(pocketsphinx, pyctcdecode, speakers),
        kitchen=tuple(kitchen or ()),
        peers=tuple(peer or ()),
        models=tuple(model or ()),
        quick=quick,
        binary=binary,
    )
    failed = [
        one.name
        for one in benchmarks(given)
        if one.name in (only or [one.name]) and not _run(one, output)
    ]
    if failed:
        typer.echo(f"failed: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


def _cut(corpus: Path, output: Path) -> Path:
    """Write the first utterances of the first speakers in ``corpus`` below ``output``."""
    folder = output / "corpus"
    for name in (_DEV, _TRAIN, *_COMMANDS):
        if not (corpus / name).exists():
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        spoken: dict[str, list[Utterance]] = {}
        for utterance in read_manifest(corpus / name):
            spoken.setdefault(utterance.speaker, []).append(utterance)
        chosen = list(spoken.values())[:_SPEAKERS]
        write_manifest(folder / name, [u for one in chosen for u in one[:_OF_A_SPEAKER]])
    return folder


def _run(one: Benchmark, output: Path) -> bool:
    """Run ``one`` where it can be run; return whether it did not fail."""
    if one.missing:
        typer.echo(f"{one.name} ({one.page}): left out, not given: {', '.join(one.missing)}")
        return True
    file = output / f"{one.name}.txt"
    command = [sys.executable, "-m", one.module, *one.arguments]
    with file.open("w") as log:
        log.write(f"{machine()}\npython -m {one.module} {shlex.join(one.arguments)}\n\n")
        log.flush()
        status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)
    typer.echo(f"{one.name} ({one.page}): {file}")
    return status.returncode == 0


if __name__ == "__main__":
    typer.run(main)
