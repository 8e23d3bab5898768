"""``plainspeech data``: corpora and manifests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import progress
from rich.table import Table

from plainspeech.cli.options import AlphabetOption, DecoderOption, LanguageModelOption, ModelOption
from plainspeech.cli.output_files import check_writable
from plainspeech.cli.terminal import needs, stderr, track
from plainspeech.errors import ConfigurationError, DataError, PlainspeechError, counted

if TYPE_CHECKING:
    from plainspeech.data.check import Finding
    from plainspeech.data.manifest import Utterance

app = typer.Typer(help="Download, prepare, split and check corpora.", no_args_is_help=True)

Manifest = Annotated[Path, typer.Argument(help="A manifest.")]
Cuts = Annotated[Path, typer.Argument(help="lhotse's cuts, .jsonl or .jsonl.gz.")]


@app.command()
def download(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[SUBSET]... DIR", help="More subsets, and the folder to download to."
        ),
    ],
    subset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SUBSET",
            help="A subset of LibriSpeech or Mini LibriSpeech, such as train-clean-5. Can be "
            "repeated.",
        ),
    ] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Address to use instead of openslr.org's /resources. Can be repeated.",
        ),
    ] = None,
) -> None:
    """Download subsets of LibriSpeech, verify and extract them to DIR/LibriSpeech.

    `--subset train-clean-5 dev-clean-2 DIR` downloads two. An interrupted download is resumed.
    """
    from plainspeech.data import download as library

    *others, folder = words
    subsets = [*(subset or []), *others]
    if folder in library.SUBSETS or not subsets:
        names = ", ".join(library.SUBSETS)
        raise ConfigurationError(
            f"data download: name subset and folder: --subset SUBSET DIR; subsets are: {names}"
        )
    for name in subsets:
        library.find_archive(name)
    failed = [name for name in subsets if not _download(name, Path(folder), mirror)]
    if failed:
        raise DataError(f"not downloaded: {', '.join(failed)}; the same command resumes")


def _download(subset: str, folder: Path, mirrors: Sequence[str] | None) -> bool:
    """Download with a progress bar; print what fails; return whether it succeeded."""
    from plainspeech.data.download import MIRRORS, download_subset

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    console = stderr()
    with progress.Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(subset, total=None)

        def report(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)

        try:
            target = download_subset(subset, folder, report, mirrors or MIRRORS)
        except PlainspeechError as error:
            console.print(f"error: {error}")
            return False
    console.print(f"{target}: complete")
    return True


@app.command()
def prepare(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="Folders of name.wav with name.txt, or in LibriSpeech's layout; or manifests: "
            "JSONL, also NeMo's, or DeepSpeech's CSV.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The manifest to write.")],
    alphabet: AlphabetOption = "en",
    skip_faulty: Annotated[
        bool,
        typer.Option(
            "--skip-faulty",
            help="Decode every recording, and leave out utterances that cannot be used.",
        ),
    ] = False,
) -> None:
    """Write a manifest of recordings, with durations and normalised transcripts."""
    from plainspeech.alphabet import find_alphabet
    from plainspeech.data.manifest import write_manifest
    from plainspeech.data.prepare import prepare_utterances
    from plainspeech.foreign_characters import ForeignCharacters

    check_writable(output)
    symbols = find_alphabet(alphabet)
    foreign = ForeignCharacters(symbols)
    utterances, problems = prepare_utterances(
        sources, symbols, foreign, decode=skip_faulty, track=track
    )
    for problem in problems:
        stderr().print(f"error: {problem}")
    if problems and not skip_faulty:
        raise DataError(
            f"{output}: not written, for {counted(len(problems), 'fault')} (above); correct them, "
            f"or leave the faulty utterances out with --skip-faulty"
        )
    if not utterances:
        raise DataError(f"{output}: not written, no utterance is left")
    write_manifest(output, utterances)
    stderr().print(f"{output}: {counted(len(utterances), 'utterance')}, {_length(utterances)}")
    for line in foreign.lines("transcript"):
        stderr().print(line)


@app.command()
def check(
    manifests: Annotated[
        list[Path],
        typer.Argument(
            metavar="MANIFEST...", help="Manifests that must not share an utterance or a speaker."
        ),
    ],
    preset: Annotated[
        str,
        typer.Option(
            help="The model that is to be trained: transcripts must fit into its output frames."
        ),
    ] = "small",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A folder to write the manifests to, without what has errors."
        ),
    ] = None,
    alphabet: AlphabetOption = "en",
) -> None:
    """Decode every recording and report utterances that would spoil training or evaluation.

    Also says how much speech there is, what is usual for as much, and which letters, and which
    words of the manifests after the first, never occur in the first.
    """
    from plainspeech.alphabet import find_alphabet
    from plainspeech.data.check import find_faults
    from plainspeech.data.manifest import read_manifest
    from plainspeech.data.overview import overview

    targets = _targets(manifests, output) if output else []
    symbols = find_alphabet(alphabet)
    splits = [read_manifest(manifest) for manifest in manifests]
    if preset == "small":  # whose frames are the defaults: others are known to torch alone
        findings = find_faults(splits, symbols, track=track)
    else:
        with needs("train"):
            from plainspeech.model.presets import preset as named
        model = named(preset)
        findings = find_faults(
            splits, symbols, model.features, model.model.subsampling, track=track
        )
    for finding in findings:
        typer.echo(finding)
    stderr().print(_summary(splits, findings))
    for line in overview([str(manifest) for manifest in manifests], splits, symbols):
        stderr().print(line)
    errors = [finding for finding in findings if finding.is_error]
    if output:
        _write_rest(targets, splits, errors)
    elif errors:
        raise DataError(f"data check: {counted(len(errors), 'error')} (above)")


@app.command()
def split(
    manifest: Manifest,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for train.jsonl and dev.jsonl.")
    ],
    dev_share: Annotated[
        float, typer.Option(help="Share of the time that goes to dev, about.")
    ] = 0.1,
) -> None:
    """Split a manifest into training data and dev, by speaker.

    Where speakers are unknown or fewer than three, by sentence.
    """
    from plainspeech.data import split as library
    from plainspeech.data.manifest import read_manifest, write_manifest

    utterances = read_manifest(manifest)
    try:
        parts = library.split(utterances, dev_share)
    except DataError as error:
        raise DataError(f"{manifest}: {error}") from error
    for name, part in zip(("train", "dev"), parts, strict=True):
        path = output / f"{name}.jsonl"
        write_manifest(path, part)
        stderr().print(f"{path}: {counted(len(part), 'recording')}, {_length(part)}")
    if known := library.known_sentences(*parts):
        stderr().print(
            f"dev has {counted(known, 'recording')} of sentences that are in the training data, "
            f"too, by other speakers: what is measured there favours the model",
            style="yellow",
        )
    if not library.by_speaker(utterances):
        stderr().print(
            "split by sentence, since speakers are unknown or fewer than "
            f"{library.FEWEST_SPEAKERS}: what is measured on dev holds for these voices alone"
        )


def _targets(manifests: Sequence[Path], folder: Path) -> list[Path]:
    """Return where what is left of each of ``manifests`` goes: no two may be the same file."""
    targets = [folder / manifest.name for manifest in manifests]
    taken = {manifest.resolve() for manifest in manifests}
    for target in targets:
        if target.resolve() in taken:
            raise ConfigurationError(
                f"{target}: would be written over; name another folder with --output, or check "
                "manifests of one name one after the other"
            )
        taken.add(target.resolve())
    return targets


def _write_rest(
    targets: Iterable[Path], splits: Iterable[Sequence[Utterance]], errors: Iterable[Finding]
) -> None:
    """Write each manifest without the utterances that have ``errors``."""
    from plainspeech.data.manifest import write_manifest

    faulty = {id(finding.utterance) for finding in errors}
    for target, split in zip(targets, splits, strict=True):
        left = [utterance for utterance in split if id(utterance) not in faulty]
        if not left:
            raise DataError(f"{target}: not written, no utterance is left")
        write_manifest(target, left)
        stderr().print(f"{target}: {len(left)} of {len(split)} utterances")


def _length(utterances: Sequence[Utterance]) -> str:
    """Return how long ``utterances`` are together, in minutes or hours."""
    seconds = sum(utterance.duration for utterance in utterances)
    return f"{seconds / 3600:.2f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def _summary(splits: Sequence[Sequence[Utterance]], findings: Iterable[Finding]) -> Table | str:
    utterances = counted(sum(len(split) for split in splits), "utterance")
    counts = Counter((f.kind, "error" if f.is_error else "warning") for f in findings)
    if not counts:
        return f"{utterances}, no faults"
    table = Table("finding", "", "count", title=utterances)
    for (kind, severity), count in counts.most_common():
        table.add_row(kind, severity, str(count))
    return table


@app.command()
def pack(
    manifests: Annotated[list[Path], typer.Argument(metavar="MANIFEST...", help="Manifests.")],
    output: Annotated[
        str,
        typer.Option("--output", "-o", help="Folder, or URL of an object store: s3://BUCKET/..."),
    ],
    audio: Annotated[
        str, typer.Option(help="flac, without loss, or opus, a quarter of it.")
    ] = "flac",
    shard_size: Annotated[int, typer.Option(min=1, help="Recordings in a shard.")] = 250,
) -> None:
    """Pack the recordings of manifests into shards, which training reads one after the other.

    The shards are lhotse's Shar format. A recipe names the folder or URL in the place of manifests.
    """
    with needs("packed"):
        from plainspeech.data.packed import FORMATS
        from plainspeech.data.packed import pack as write
    from plainspeech.data.manifest import read_manifest

    if audio not in FORMATS:
        raise ConfigurationError(f"--audio {audio}: choose one of: {', '.join(FORMATS)}")
    utterances = [utterance for path in manifests for utterance in read_manifest(path)]
    count = write(utterances, output, audio, shard_size, track=track)
    stderr().print(
        f"{output}: {counted(len(utterances), 'utterance')}, {_length(utterances)}, "
        f"in {counted(count, 'shard')}"
    )


@app.command()
def to_lhotse(manifest: Manifest, cuts: Cuts) -> None:
    """Convert a manifest to lhotse's cuts."""
    with needs("lhotse"):
        from plainspeech.data.lhotse import write_cuts
    from plainspeech.data.manifest import read_manifest

    write_cuts(cuts, read_manifest(manifest))


@app.command()
def from_lhotse(cuts: Cuts, manifest: Manifest) -> None:
    """Convert lhotse's cuts to a manifest; `plainspeech data prepare` then normalises its text."""
    with needs("lhotse"):
        from plainspeech.data.lhotse import read_cuts
    from plainspeech.data.manifest import write_manifest

    write_manifest(manifest, read_cuts(cuts))


@app.command()
def label(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...", help="Recordings of one utterance each, or folders of them."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The manifest to write.")],
    model: ModelOption = None,
    decoder: DecoderOption = None,
    language_model: LanguageModelOption = None,
    least_agreement: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Least share of characters on which greedy decoding must agree."
        ),
    ] = 0.8,
) -> None:
    """Write a manifest of untranscribed recordings, with pseudo-labels of a model as their text.

    For self-training on more voices than have been transcribed; see
    recipes/english-small-student.toml. Recordings with uncertain labels are left out.
    """
    with needs("evaluate"):
        from plainspeech.evaluation.pseudo_labels import find_recordings, pseudo_label
    from plainspeech.data.manifest import write_manifest
    from plainspeech.runtime.recognizer import load_model

    check_writable(output)
    recordings, unreadable = find_recordings(sources)
    recognizer = load_model(model, decoder=decoder, language_model=language_model)
    labels, problems = pseudo_label(recognizer, recordings, track)
    for problem in unreadable + problems:
        stderr().print(f"error: {problem}")
    kept = [found.utterance for found in labels if found.agreement >= least_agreement]
    kept = [utterance for utterance in kept if utterance.text]
    if not kept:
        raise DataError(
            f"{output}: not written, no label has the agreement that --least-agreement asks for"
        )
    write_manifest(output, kept)
    stderr().print(f"{output}: {len(kept)} of {len(recordings)} utterances, {_length(kept)}")
