"""``plainspeech lm``: language models for the decoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from plainspeech.cli.lm_training import check_texts, train
from plainspeech.cli.options import AlphabetOption
from plainspeech.cli.output_files import check_writable
from plainspeech.cli.terminal import stderr
from plainspeech.errors import ConfigurationError, DataError, LanguageModelError, why_unreadable

if TYPE_CHECKING:
    from plainspeech.lm.arpa import ArpaModel
    from plainspeech.lm.build import BuildSettings
    from plainspeech.lm.scorer import Prediction, Scorer

app = typer.Typer(help="Build, inspect and use n-gram scorers.", no_args_is_help=True)

_SCORER_HELP = "A scorer: its folder or zip, an ARPA file, or 'bundled', the English model's."


@app.command()
def build(
    texts: Annotated[
        list[Path],
        typer.Argument(
            metavar="TEXT...",
            help="One sentence a line, in UTF-8; .gz, .xz and .bz2 are decompressed.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write the scorer to.")],
    order: Annotated[int, typer.Option(help="Length of the longest n-grams, in words.")] = 4,
    prune: Annotated[
        str | None,
        typer.Option(
            metavar="COUNT,...",
            help="Counts up to which n-grams are pruned, one for each order from 1 on; the last "
            "also applies to all higher orders. Default: 0,0,1.",
        ),
    ] = None,
    entropy: Annotated[
        float,
        typer.Option(
            help="Prune n-grams whose removal raises the cross entropy by less (nats per word)."
        ),
    ] = 0.0,
    words: Annotated[
        int | None,
        typer.Option(help="Size of the vocabulary: the most frequent words. Default: all."),
    ] = None,
    estimator: Annotated[
        str,
        typer.Option(
            help="auto (builtin, or lmplz for more text than memory holds), lmplz or builtin."
        ),
    ] = "auto",
    held_out: Annotated[
        Path | None,
        typer.Option(help="Text that is not in TEXT, to measure the perplexity on."),
    ] = None,
    arpa: Annotated[
        Path | None, typer.Option(help="Also write the model to this file, in the ARPA format.")
    ] = None,
    alphabet: AlphabetOption = "en",
    mix: Annotated[
        str | None,
        typer.Option(
            metavar="SCORER",
            help="Mix the model of TEXT with this one, a folder, zip or ARPA file, or 'bundled', "
            "that of the English model, and keep its alpha and beta.",
            show_default=False,
        ),
    ] = None,
    weight: Annotated[
        float | None,
        typer.Option(
            help="Of TEXT beside --mix, above 0 and below 1; by default tuned on a tenth of TEXT.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Build a scorer from text: count, estimate (modified Kneser-Ney), prune, mix, package."""
    from plainspeech.alphabet import find_alphabet
    from plainspeech.artifact.writing import check_folder_writable, write_folder
    from plainspeech.foreign_characters import ForeignCharacters
    from plainspeech.lm.arpa import write_arpa
    from plainspeech.lm.build import BuildSettings, build_model
    from plainspeech.lm.corpus import read_sentences
    from plainspeech.lm.package import SCORER, scorer_files, with_neural_of
    from plainspeech.lm.scorer import Scorer, predict

    symbols = find_alphabet(alphabet)
    settings = BuildSettings(order, _counts(prune, order), entropy, words, estimator, symbols)
    check_texts([*texts, *([held_out] if held_out else [])])
    check_folder_writable(output, SCORER)
    if arpa:
        check_writable(arpa)
    base = _base(mix, weight)
    console = stderr()
    foreign = ForeignCharacters(symbols)
    with console.status("Estimating"):
        model, source = build_model(texts, settings, foreign)
    for line in foreign.lines("line"):
        console.print(line)
    weights = {}
    if base:
        with console.status("Mixing"):
            model, source = _mixed(texts, settings, model, source, base, weight)
        weights = {"alpha": base.scorer.alpha, "beta": base.scorer.beta}
    if arpa:
        write_arpa(arpa, model.vocabulary, model.levels)
    files = scorer_files(model.vocabulary, model.levels, source, **weights)
    if base and base.files:
        files = with_neural_of(files, base.files)
    write_folder(output, files, SCORER)
    scorer = Scorer.load(output)
    console.print(_summary(output, scorer))
    if held_out:
        before = [(f"{held_out} by {mix}", base.scorer)] if base else []
        for name, each in [*before, (str(held_out), scorer)]:
            prediction = predict(each, read_sentences([held_out], symbols))
            console.print(f"{name}: {_perplexity_line(prediction)}")


class _Base(NamedTuple):
    """A model to mix with, and the files of its scorer; none of an ARPA file."""

    model: ArpaModel
    scorer: Scorer
    files: Mapping[str, bytes]


def _base(name: str | None, weight: float | None) -> _Base | None:
    """Return the model that --mix names."""
    from plainspeech.lm.arpa import ArpaModel, is_arpa, read_arpa
    from plainspeech.lm.package import levels_of, read_scorer_files
    from plainspeech.lm.scorer import Scorer

    if weight is not None and (name is None or not 0 < weight < 1):
        raise ConfigurationError(
            f"--weight is {weight:g}; it must be above 0 and below 1, and needs --mix SCORER"
        )
    if name is None:
        return None
    from plainspeech.runtime.bundle import named_scorer

    path = named_scorer(name)
    if is_arpa(path):
        model = read_arpa(path)
        return _Base(model, Scorer.from_model(model), {})
    files = read_scorer_files(path)
    return _Base(ArpaModel(*levels_of(path, files)), Scorer.from_files(path, files), files)


def _mixed(
    texts: list[Path],
    settings: BuildSettings,
    model: ArpaModel,
    source: dict[str, Any],
    base: _Base,
    weight: float | None,
) -> tuple[ArpaModel, dict[str, Any]]:
    """Return ``model`` of ``texts`` mixed with ``base``, and the record of its sources."""
    from plainspeech.lm import mixing

    tuned_on = 0
    if weight is None:
        tuned = mixing.weight_of_text(texts, settings, base.model)
        weight, tuned_on = tuned.weight, tuned.words
    mixture = {
        "weight": round(weight, 4),
        "tuned_on_words": tuned_on,
        "with": dict(base.scorer.source),
    }
    return mixing.mix(model, base.model, weight), {**source, "mixture": mixture}


app.command()(train)


@app.command()
def package(
    model: Annotated[Path, typer.Argument(help="An ARPA file or a KenLM binary.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write the scorer to.")],
    words: Annotated[
        Path | None,
        typer.Option(
            help="List of words for the lexicon; the model is then queried through KenLM."
        ),
    ] = None,
) -> None:
    """Make a scorer from an existing model: flattened, or, with --words, queried through KenLM."""
    from plainspeech.lm.arpa import read_arpa
    from plainspeech.lm.kenlm_binary import is_kenlm_binary
    from plainspeech.lm.package import write_kenlm_scorer, write_scorer
    from plainspeech.lm.scorer import Scorer

    source = {"model": model.name}
    if words is None and is_kenlm_binary(model):
        raise LanguageModelError(
            f"{model}: is a KenLM binary, whose words cannot be read; give a list of them (--words)"
        )
    if words is None:
        flat = read_arpa(model)
        write_scorer(output, flat.vocabulary, flat.levels, source)
    else:
        try:
            listed = words.read_text(encoding="utf-8-sig").split()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{words}: cannot be read: {why_unreadable(error)}") from error
        asking = Scorer.from_kenlm(model, listed)
        write_kenlm_scorer(output, asking.vocabulary, model, asking.order, source)
    stderr().print(_summary(output, Scorer.load(output)))


@app.command()
def info(scorer: Annotated[Path, typer.Argument(help=_SCORER_HELP)]) -> None:
    """Show order, vocabulary, weights and sources of a scorer."""
    from plainspeech.lm.scorer import Scorer
    from plainspeech.runtime.bundle import named_scorer

    path = named_scorer(scorer)
    typer.echo(_summary(path, Scorer.load(path)))


@app.command()
def score(
    scorer: Annotated[Path, typer.Argument(help=_SCORER_HELP)],
    texts: Annotated[list[Path], typer.Argument(metavar="TEXT...", help="One sentence a line.")],
    summary: Annotated[bool, typer.Option("--summary", help="Print only the perplexity.")] = False,
) -> None:
    """Print ln p(sentence) before each sentence, and the perplexity of each text."""
    from plainspeech.alphabet import Alphabet
    from plainspeech.lm.corpus import read_sentences
    from plainspeech.lm.scorer import Scorer, predict
    from plainspeech.runtime.bundle import named_scorer

    loaded = Scorer.load(named_scorer(scorer))
    alphabet = Alphabet((" ", *sorted(set("".join(loaded.words)))))
    for text in texts:
        for sentence in () if summary else read_sentences([text], alphabet):
            typer.echo(f"{loaded.score(sentence):.4f}\t{' '.join(sentence)}")
        prediction = predict(loaded, read_sentences([text], alphabet))
        stderr().print(f"{text}: {_perplexity_line(prediction)}")


def _counts(prune: str | None, order: int) -> tuple[int, ...]:
    if prune is None:
        return (0, 0, 1)[:order]
    try:
        return tuple(int(count) for count in prune.split(","))
    except ValueError:
        raise ConfigurationError(
            f"prune is {prune!r}; it must be a list of counts such as 0,0,1,1"
        ) from None


def _perplexity_line(prediction: Prediction) -> str:
    return (
        f"perplexity {prediction.perplexity:.2f} over {prediction.predicted} known words and "
        f"sentence ends; {prediction.unknown} of {prediction.words} words "
        f"({100 * prediction.unknown_rate:.2f} %) are not in the vocabulary"
    )


def _summary(path: Path, scorer: Scorer) -> str:
    """Return what there is to say of ``scorer``, a line each."""
    rows = [
        ("order", str(scorer.order)),
        ("vocabulary", f"{len(scorer.words):,} words"),
        ("alpha, beta", f"{scorer.alpha:g}, {scorer.beta:g}"),
        *_source_rows(scorer.source),
    ]
    if scorer.neural:
        shape = scorer.neural.shape
        sizes = f"{shape['words']:,} rows, width {shape['width']}, hidden {shape['hidden']}"
        rows.append(("recurrent model", f"{sizes}; weight {scorer.neural_weight:g}"))
    if path.is_dir():
        size = sum(file.stat().st_size for file in path.iterdir())
        rows.append(("size", f"{size / 1e6:.2f} MB"))
    width = max(len(name) for name, _ in rows)
    return "\n".join([str(path), *(f"  {name:<{width}}  {value}" for name, value in rows)])


def _source_rows(source: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield name and value of what the record of a model's sources says, row by row."""
    for key, value in source.items():
        name = f"{above}{key.replace('_', ' ')}"
        if isinstance(value, dict):  # a mixture, and what it is with
            yield from _source_rows(value, f"{name} ")
        else:
            for one in value if key == "texts" and isinstance(value, list) else [value]:
                yield name, _shown(one)


def _shown(value: object) -> str:
    if isinstance(value, dict):  # the name of a text, and its hash
        return " ".join(map(str, value.values()))
    if isinstance(value, list):
        return ", ".join(_shown(part) for part in value)
    return f"{value:,}" if isinstance(value, int) else str(value)
