"""Measures every table of the documents anew, one benchmark after the other.

What each prints goes to a file of its name in the output folder, below the command and what machine
it was; pictures, and the tables of docs/conditions.md, are written into the documents. What can be
made of what is given is made first: AN4 split by speaker, the simulated set of the decoders and its
scorer. A benchmark whose data or peers are missing is left out, and the end says which and why. All
take some hours of one core; nothing else should run. With --quick each measures a few utterances
once, and the documents stay as they are: that shows that all of it runs, and its figures mean
nothing.

    python -m benchmarks.run_all corpus measured --text books.txt --checkpoint best.safetensors \
        --initial earlier.safetensors \
        --peer pocketsphinx=PYTHON --peer pyctcdecode=PYTHON --peer flashlight-text=PYTHON \
        --kitchen doing_the_dishes.opus --model earlier/english-small
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice
from pathlib import Path
from typing import Annotated, TextIO

import typer

from benchmarks.processes import machine
from plainspeech.data.manifest import Utterance, read_manifest, write_manifest
from plainspeech.runtime.bundle import bundled_model_path

_SPEAKERS, _OF_A_SPEAKER = 7, 8  # of six others is the babble behind one
_SECONDS = 120.0  # of the speaker that a model is adapted to
_SENTENCES, _FEW_SENTENCES = 160_000, 4_000
"""What is measured, and what is measured quickly."""

_DEV, _TRAIN = "dev-clean.jsonl", "train-clean-5.jsonl"
_COMMANDS, _VOICES, _OTHER = "an4.jsonl", "common_voice.jsonl", "common_voice_dev.jsonl"

_PEERS = {
    "coqui": "coqui_stt_ctcdecoder",
    "ctc-beam-decoder": "ctc_beam_decoder",
    "flashlight-text": "flashlight.lib.text",
    "pocketsphinx": "pocketsphinx, soundfile",
    "pyctcdecode": "pyctcdecode",
}
"""What each is imported as."""

DOCS = Path(__file__).resolve().parents[1] / "docs"


@dataclass(frozen=True)
class Given:
    """What there is to measure with.

    Attributes:
        corpus: a folder of manifests.
        output: for what is printed.
        text: a sentence a line.
        simulated: log-probabilities for the decoders, if they are not to be made of ``text``.
        scorer: for these.
        checkpoint: weights of the bundled model.
        initial: weights that each row of the benchmark of corpora starts from.
        kitchen: recordings of noise.
        peers: a Python that has it, by name.
        models: bundles that are drawn beside the bundled one.
        quick: whether only to see that all of it runs.
    """

    corpus: Path = Path()
    output: Path = Path()
    text: Path | None = None
    simulated: Path | None = None
    scorer: Path | None = None
    checkpoint: Path | None = None
    initial: Path | None = None
    kitchen: tuple[Path, ...] = ()
    peers: Mapping[str, str] = field(default_factory=dict)
    models: tuple[Path, ...] = ()
    quick: bool = False

    @property
    def made(self) -> Path:
        """Folder for what is made of what is given."""
        return self.output / ("made_quickly" if self.quick else "made")

    @property
    def pictures(self) -> Path:
        """Folder for pictures."""
        return self.output if self.quick else DOCS


@dataclass(frozen=True)
class Command:
    """A module that is run.

    Attributes:
        module: its name.
        arguments: of it.
        makes: a file or folder; where that is there already, it need not be run.
    """

    module: str
    arguments: Sequence[str]
    makes: Path | None = None


@dataclass(frozen=True)
class Benchmark:
    """One command.

    Attributes:
        name: of the file with what it prints.
        page: that its tables stand in.
        module: that is run.
        arguments: of it.
        missing: what it needs and is not there; empty where it can run.
        first: what makes what it needs.
    """

    name: str
    page: str
    module: str
    arguments: list[str]
    missing: tuple[str, ...] = ()
    first: tuple[Command, ...] = ()


def benchmarks(given: Given) -> Iterator[Benchmark]:
    """Yield all of them."""
    yield from _of_transcription(given)
    yield from _of_conditions(given)
    yield from _of_decoders(given)
    yield from _of_serving(given)
    yield from _of_training(given)


def _of_transcription(given: Given) -> Iterator[Benchmark]:
    dev = given.corpus / _DEV
    heard = _missing(**{dev.name: dev.exists()})
    other = given.peers.get("pocketsphinx")
    sphinx = ["--pocketsphinx", other] if other else []
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
        *("--picture", str(given.pictures / "speed.png")),
        *("--json", str(given.output / "frontier.json")),
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


def _of_conditions(given: Given) -> Iterator[Benchmark]:
    dev = given.corpus / _DEV
    missing = _missing(**{dev.name: dev.exists()}, kitchen=given.kitchen)
    kitchen = [part for path in given.kitchen for part in ("--kitchen", str(path))]
    page = [] if given.quick else ["--page", str(DOCS / "conditions.md")]
    yield Benchmark(
        *("conditions", "docs/conditions.md", "benchmarks.conditions.measure"),
        [str(dev), str(given.output / "conditions.json"), "--every", "4", *kitchen, *page],
        missing,
    )
    picture = ["--picture", str(given.pictures / "confidence.png")]
    yield Benchmark(
        *("confidence", "docs/conditions.md", "benchmarks.conditions.confidence"),
        [str(dev), "--every", "3", *kitchen, *picture],
        missing,
    )


def _of_decoders(given: Given) -> Iterator[Benchmark]:
    dev, shipped = given.corpus / _DEV, str(bundled_model_path() / "scorer")
    once = ["--rounds", "1"] if given.quick else []
    decoders = {name: path for name, path in given.peers.items() if name != "pocketsphinx"}
    peers = [part for one in decoders.items() for part in ("--peer", "=".join(one))]
    first: tuple[Command, ...] = ()
    searched = _missing(simulated=given.simulated, scorer=given.scorer)
    if given.text and searched:
        searched, first = (), tuple(_simulating(given.text, given.made, given.quick))
    scorer = given.scorer or given.made / "scorer"
    sets = [str(given.simulated or given.made / "simulated"), str(scorer)]
    compare = "benchmarks.decoder.compare"
    yield Benchmark(
        *("decoder", "docs/beam-search.md", compare),
        ["simulated", *sets, *once, *peers],
        searched,
        first,
    )
    few = ["--utterances", "8"] if given.quick else []
    yield Benchmark(
        *("decoder_real", "docs/beam-search.md", compare),
        ["real", "bundled", str(dev), shipped, *few, *once, *peers],
        _missing(**{dev.name: dev.exists()}),
    )
    yield Benchmark(
        "growth", "docs/beam-search.md", compare, ["growth", *sets, *once], searched, first
    )
    yield Benchmark(
        *("loading", "docs/speed.md", "benchmarks.decoder.loading"),
        [str(scorer) if given.quick else shipped, *once, *peers],
        searched if given.quick else (),
        first if given.quick else (),
    )
    other = given.peers.get("pyctcdecode")
    yield Benchmark(
        *("agreement", "docs/coming-from.md", "benchmarks.decoder.agreement"),
        [*sets, "--pyctcdecode", str(other), *once],
        searched + _missing(**{"peer pyctcdecode": other}),
        first,
    )
    few = ["--words", "50000"] if given.quick else []
    yield Benchmark(
        *("estimators", "docs/language-models.md", "benchmarks.language_models.estimators"),
        [str(given.text), *few, *once],
        _missing(text=given.text),
    )


def _simulating(text: Path, folder: Path, quick: bool) -> Iterator[Command]:
    """Yield what makes the simulated set of sentences of ``text``, and a scorer of the others."""
    rest, simulated, scorer = folder / "rest.txt", folder / "simulated", folder / "scorer"
    sentences = str(_FEW_SENTENCES if quick else _SENTENCES)
    drawn = [str(text), str(simulated), "--rest", str(rest), "--sentences", sentences]
    yield Command("benchmarks.decoder.simulate", drawn, simulated)
    built = ["lm", "build", str(rest), "-o", str(scorer), "--order", "3"]
    yield Command("plainspeech", built, scorer)


def _of_serving(given: Given) -> Iterator[Benchmark]:
    few = ["--requests", "16", "--rounds", "1", "--memory-requests", "0"] if given.quick else []
    yield Benchmark("serving", "docs/serving.md", "benchmarks.serving.load", few)
    few = ["--requests", "4", "--workers", "1"] if given.quick else []
    yield Benchmark("serving_memory", "docs/serving.md", "benchmarks.serving.memory", few)


def _of_training(given: Given) -> Iterator[Benchmark]:
    dev, train = given.corpus / _DEV, given.corpus / _TRAIN
    learnt = _missing(**{train.name: train.exists()})
    yield Benchmark(
        *("training", "docs/speed.md", "benchmarks.training.speed"),
        ["--manifest", str(train), "--steps", "1" if given.quick else "7", "--warm-up", "1"],
        learnt,
    )
    commands, made = given.corpus / _COMMANDS, given.made / "an4"
    split = ["data", "split", str(commands), "-o", str(made), "--dev-share", "0.2"]
    where = [str(made / "train.jsonl"), str(made / "dev.jsonl"), str(given.output / "ablation")]
    lexicon = ["--pronunciations", str(DOCS.parent / "recipes" / "english-pronunciations.txt")]
    picture = ["--picture", str(given.pictures / "ablation.png")]
    few = ["--minutes", "0.01"] if given.quick else []
    yield Benchmark(
        *("ablation", "docs/reference-design.md", "benchmarks.training.ablation"),
        [*where, *lexicon, *picture, *few],
        _missing(**{commands.name: commands.exists()}),
        (Command("plainspeech", split, made),),
    )
    yield _of_corpora(given)
    read = ["--epochs", "1" if given.quick else "12", "--shard-size", "10"]
    yield Benchmark(
        *("packed", "docs/training.md", "benchmarks.training.packed"), [str(train), *read], learnt
    )
    voices, results = given.corpus / _VOICES, str(given.output / "adaptation.json")
    few = ["--count", "1", "--minutes", "1"] if given.quick else []
    yield Benchmark(
        *("adaptation", "docs/fine-tuning.md", "benchmarks.training.adaptation"),
        [str(bundled_model_path()), str(voices), str(dev), results, *few],
        _missing(**{dev.name: dev.exists(), voices.name: voices.exists()}),
    )


def _of_corpora(given: Given) -> Benchmark:
    """Return the benchmark of what each corpus beside LibriSpeech is worth."""
    dev, train, other = (given.corpus / name for name in (_DEV, _TRAIN, _OTHER))
    corpora = [given.corpus / name for name in (_VOICES, _COMMANDS)]
    recipes, output = DOCS.parent / "recipes", given.output / "corpora"
    options: dict[str, Sequence[object]] = {
        "--base": [train],
        "--corpus": corpora,
        "--dev": [dev],
        "--other": [other],
        "--scorer": [bundled_model_path() / "scorer"],
        "--pronunciations": [bundled_model_path() / "pronunciations.txt"],
        "--initial": [given.initial] if given.initial else [],
        "--hours": [0.01] if given.quick else [],
        "--trials": [1] if given.quick else [],
    }
    spelt = [
        str(part) for name, values in options.items() for one in values for part in (name, one)
    ]
    manifests = {path.name: path.exists() for path in (dev, train, other, *corpora)}
    return Benchmark(
        *("corpora", "docs/training.md", "benchmarks.training.corpora"),
        [str(recipes / "corpora.toml"), str(output), *spelt],
        _missing(**manifests, initial=given.initial or given.quick),
    )


def _missing(**needs: object) -> tuple[str, ...]:
    return tuple(name for name, there in needs.items() if not there)


def main(
    corpus: Annotated[
        Path,
        typer.Argument(help=f"Folder with {_DEV}, {_TRAIN}, {_COMMANDS}, {_VOICES}, {_OTHER}."),
    ],
    output: Annotated[Path, typer.Argument(help="Folder for what is printed.")],
    text: Annotated[
        Path | None, typer.Option(help="For language models, a sentence a line.")
    ] = None,
    simulated: Annotated[
        Path | None, typer.Option(help="For decoders; made of the text if not given.")
    ] = None,
    scorer: Annotated[Path | None, typer.Option(help="The packaged scorer for that.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="The model's weights.")] = None,
    initial: Annotated[
        Path | None, typer.Option(help="Weights to learn more from; for the worth of corpora.")
    ] = None,
    kitchen: Annotated[list[Path] | None, typer.Option(help="Recordings of noise.")] = None,
    peer: Annotated[
        list[str] | None, typer.Option(help=f"NAME=PYTHON; names are {', '.join(_PEERS)}.")
    ] = None,
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
    peers, absent = _installed(peer or ())
    given = Given(
        *(_cut(corpus, output) if quick else corpus, output, text, simulated, scorer, checkpoint),
        initial=initial,
        kitchen=tuple(kitchen or ()),
        peers=peers,
        models=tuple(model or ()),
        quick=quick,
    )
    chosen = [one for one in benchmarks(given) if one.name in (only or [one.name])]
    failed = [one.name for one in chosen if not one.missing and not _run(one, output)]
    for one in chosen:
        if one.missing:
            typer.echo(f"{one.name} ({one.page}): left out, not given: {', '.join(one.missing)}")
    for reason in absent:
        typer.echo(reason)
    if failed:
        typer.echo(f"failed: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


def _installed(peers: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the interpreters of the peers that can be imported, and why others are left out."""
    there, absent = dict[str, str](), list[str]()
    for peer in peers:
        name, _, python = peer.partition("=")
        if name not in _PEERS:
            raise typer.BadParameter(f"no peer is called {name!r}; {', '.join(_PEERS)} are")
        command = [python, "-c", f"import {_PEERS[name]}"]
        try:
            status = subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode
        except OSError:
            status = 1
        if status:
            absent.append(f"peer {name}: left out, {python} cannot import {_PEERS[name]}")
        else:
            there[name] = python
    return there, absent


def _cut(corpus: Path, output: Path) -> Path:
    """Write the first utterances of the first speakers in ``corpus`` below ``output``."""
    folder = output / "corpus"
    folder.mkdir(exist_ok=True)
    for name in (_DEV, _TRAIN, _COMMANDS, _VOICES, _OTHER):
        if not (corpus / name).exists():
            continue
        spoken: dict[str, list[Utterance]] = {}
        for utterance in read_manifest(corpus / name):
            spoken.setdefault(utterance.speaker, []).append(utterance)
        if name == _VOICES:
            chosen = [_some_minutes(max(spoken.values(), key=len))]
        else:
            chosen = [one[:_OF_A_SPEAKER] for one in islice(spoken.values(), _SPEAKERS)]
        write_manifest(folder / name, [utterance for one in chosen for utterance in one])
    return folder


def _some_minutes(utterances: Sequence[Utterance]) -> list[Utterance]:
    ends = accumulate(utterance.duration for utterance in utterances)
    return [one for one, end in zip(utterances, ends, strict=True) if end <= _SECONDS]


def _run(one: Benchmark, output: Path) -> bool:
    """Run ``one`` and what it needs first; return whether nothing failed."""
    file = output / f"{one.name}.txt"
    commands = (*one.first, Command(one.module, one.arguments))
    with file.open("w") as log:
        log.write(f"{machine()}\n")
        done = all(
            _succeeds(command, log)
            for command in commands
            if not (command.makes and command.makes.exists())
        )
    typer.echo(f"{one.name} ({one.page}): {file}")
    return done


def _succeeds(command: Command, log: TextIO) -> bool:
    """Run ``command``, and write it and what it prints to ``log``."""
    log.write(f"python -m {command.module} {shlex.join(command.arguments)}\n\n")
    log.flush()
    program = [sys.executable, "-m", command.module, *command.arguments]
    return not subprocess.run(program, stdout=log, stderr=log, check=False).returncode


if __name__ == "__main__":
    typer.run(main)
