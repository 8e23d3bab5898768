"""Scorers as files.

A scorer is a folder, or one zip of it:

- ``scorer.json``: format version, order, size of the vocabulary, alpha, beta, the origin
  of the model, size and SHA-256 of every file, and a SHA-256 of all that.
- ``words.txt``: the vocabulary without the special words, one word a line.
- ``ngrams.npz``: the model, see `plainspeech.lm.packing`. Or, in a folder only, ``model.kenlm``:
  an ARPA file or a KenLM binary, for models that are too large to flatten.
- ``neural.bin``: the weights of a recurrent model, see `plainspeech.lm.neural`; optional.

Loading checks every hash and executes nothing.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from plainspeech.artifact.kind import Kind
from plainspeech.artifact.listed_files import (
    ListedFiles,
    check_listed,
    checksum,
    checksums,
    has_checksum,
    read_listed,
)
from plainspeech.artifact.reading import Read, from_memory, reading
from plainspeech.artifact.record import Record, read_record
from plainspeech.artifact.writing import write_folder
from plainspeech.errors import LanguageModelError
from plainspeech.lm.arpa import is_arpa
from plainspeech.lm.neural import NeuralModel, pack_neural, require_words, unpack_neural
from plainspeech.lm.packing import pack, unpack
from plainspeech.lm.table_cache import cached_tables
from plainspeech.lm.tables import SPECIAL_WORDS, Level, NGramTables, build_tables
from plainspeech.lm.vocabulary import Vocabulary

FORMAT = 1
"""The version of the format that this package writes, and the only one that it reads."""

SCORER = Kind("scorer", "scorer.json", LanguageModelError, FORMAT)

ALPHA, BETA = 0.75, 1.85
"""Weights before tuning: those of DeepSpeech."""

_LARGEST_WEIGHT = 100.0  # as the settings of the beam search have it
_WORDS, _NGRAMS, _KENLM = "words.txt", "ngrams.npz", "model.kenlm"
_NEURAL = "neural.bin"


@dataclass(frozen=True)
class ScorerPackage:
    """What the files of a scorer hold; see `plainspeech.lm.scorer.Scorer`.

    Attributes:
        vocabulary: the special words and the others.
        order: length of the longest n-grams, in words.
        model: flattened, or a file for KenLM.
        alpha: weight of the model.
        beta: weight of a word.
        source: origin of the model.
        neural: a recurrent model of the same words; None without one.
        neural_weight: its share, from 0 to 1.
    """

    vocabulary: Vocabulary
    order: int
    model: NGramTables | Path
    alpha: float
    beta: float
    source: Mapping[str, Any]
    neural: NeuralModel | None = None
    neural_weight: float = 0.0


def write_scorer(
    folder: Path,
    vocabulary: Sequence[str],
    levels: Sequence[Level],
    source: Mapping[str, Any],
    alpha: float = ALPHA,
    beta: float = BETA,
) -> None:
    """Write a scorer, the `scorer_files` of the other arguments, as ``folder``.

    It is written whole or not at all; one that is there is replaced.

    Raises:
        LanguageModelError: ``folder`` exists and is not a scorer, or cannot be written.
    """
    write_folder(folder, scorer_files(vocabulary, levels, source, alpha, beta), SCORER)


def scorer_files(
    vocabulary: Sequence[str],
    levels: Sequence[Level],
    source: Mapping[str, Any],
    alpha: float = ALPHA,
    beta: float = BETA,
) -> dict[str, bytes]:
    """Return the files of a scorer, by their names.

    Args:
        vocabulary: the special words, then the others, best from the most frequent to the least.
        levels: of the model.
        source: origin of the model, as JSON values.
        alpha: see `Scorer`.
        beta: see `Scorer`.
    """
    source = {**source, "ngrams": [len(level.words) for level in levels]}
    values = {"order": len(levels), "alpha": alpha, "beta": beta, "source": source}
    return _files(vocabulary, values, {_NGRAMS: pack(levels)})


def write_kenlm_scorer(
    folder: Path, vocabulary: Sequence[str], model: Path, order: int, source: Mapping[str, Any]
) -> None:
    """Write a scorer that queries KenLM as ``folder``; one that is there is replaced.

    Args:
        folder: which the scorer becomes.
        vocabulary: the special words, then the others that the decoder may write.
        model: an ARPA file or a KenLM binary; it is copied.
        order: of the model.
        source: origin of the model, as JSON values.

    Raises:
        LanguageModelError: ``folder`` exists and is not a scorer, or cannot be written.
    """
    values = {"order": order, "alpha": ALPHA, "beta": BETA, "source": dict(source)}
    values["kenlm"] = checksum(model, SCORER)
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        files = _files(vocabulary, values, {})
        # A memory map is written as bytes are, without being read into memory as a whole.
        write_folder(folder, {**files, _KENLM: cast("bytes", content)}, SCORER)


def _files(
    vocabulary: Sequence[str], values: Mapping[str, Any], files: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Return ``files`` with the words, and the record that lists them."""
    words = "".join(f"{word}\n" for word in vocabulary[len(SPECIAL_WORDS) :])
    files = {_WORDS: words.encode(), **files}
    whole = {"format": FORMAT, "vocabulary": len(vocabulary), **values, "files": checksums(files)}
    return {**files, SCORER.record: Record(Path(SCORER.name), SCORER, whole).serialise()}


def read_scorer_files(path: Path) -> dict[str, bytes]:
    """Return the files of the scorer ``path``, a folder or a zip, for a bundle to hold.

    Raises:
        LanguageModelError: it is no scorer, is damaged, or queries KenLM.
    """
    if is_arpa(path):
        raise LanguageModelError(
            f"{path}: is an ARPA file; package it first: plainspeech lm package {path} -o SCORER"
        )
    with reading(path, SCORER) as read:
        record = read_record(read, path, SCORER)
        if "kenlm" in record.values:
            raise LanguageModelError(
                f"{path}: queries KenLM, and a model bundle holds flattened scorers only; "
                f"make one: plainspeech lm package MODEL.arpa -o SCORER, without --words"
            )
        return {**read_listed(read, record), SCORER.record: record.serialise()}


def with_weights(
    files: Mapping[str, bytes], alpha: float, beta: float, neural_weight: float = 0.0
) -> dict[str, bytes]:
    """Return ``files``, those of a scorer, with other weights in its record."""
    record = _record_of(files)
    changed: dict[str, Any] = {"alpha": alpha, "beta": beta}
    if "neural" in record.values:
        changed["neural"] = {**record.part("neural").values, "weight": neural_weight}
    return _changed(files, record, changed)


def with_neural(
    files: Mapping[str, bytes], model: NeuralModel, weight: float, source: Mapping[str, Any]
) -> dict[str, bytes]:
    """Return ``files``, those of a scorer, with a recurrent model; one that it has is replaced.

    Args:
        files: as `read_scorer_files` returns them.
        model: whose words are the scorer's.
        weight: its share in the score of a text, from 0 to 1.
        source: its origin, as JSON values.

    Raises:
        LanguageModelError: the scorer is over characters.
    """
    record = _record_of(files)
    require_words(_vocabulary(record, files), record.origin)
    files = {**files, _NEURAL: pack_neural(model)}
    neural = {**model.shape, "weight": weight, "source": dict(source)}
    listed = checksums({name: files[name] for name in files if name != SCORER.record})
    return _changed(files, record, {"neural": neural, "files": listed})


def with_neural_of(files: Mapping[str, bytes], other: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return ``files``, those of a scorer, with the recurrent model of another, if that has one.

    Args:
        files: as `read_scorer_files` returns them.
        other: likewise, of a scorer whose words are all among those of the first.

    Raises:
        LanguageModelError: the other has a recurrent model that is damaged.
    """
    theirs = _record_of(other)
    words = _vocabulary(theirs, other)
    model = _neural(theirs, other, words)
    if model is None:
        return dict(files)
    ids = {word: index for index, word in enumerate(_vocabulary(_record_of(files), files))}
    moved = np.array([ids[words[index]] for index in model.words.tolist()], np.int32)
    part = theirs.part("neural")
    return with_neural(files, replace(model, words=moved), _share(part), part.take("source", dict))


def _record_of(files: Mapping[str, bytes]) -> Record:
    origin = Path(SCORER.name)
    return read_record(from_memory(origin, SCORER, files), origin, SCORER)


def _changed(
    files: Mapping[str, bytes], record: Record, changes: Mapping[str, Any]
) -> dict[str, bytes]:
    changed = Record(record.origin, SCORER, {**record.values, **changes})
    return {**files, SCORER.record: changed.serialise()}


def read_package(origin: Path, read: Read) -> ScorerPackage:
    """Return the scorer whose files ``read`` reads; ``origin`` is its name in messages.

    Raises:
        LanguageModelError: it has another format version, a file of it is missing or not the one
            that was written, or it has a recurrent model and is over characters.
    """
    record = read_record(read, origin, SCORER)
    check_listed(read, record)
    files = ListedFiles(read, record)
    vocabulary = _vocabulary(record, files)
    neural = _neural(record, files, vocabulary)
    return ScorerPackage(
        vocabulary=vocabulary,
        order=record.take("order", int),
        model=_model(record, files, vocabulary),
        alpha=_weight(record, "alpha"),
        beta=_weight(record, "beta"),
        source=record.take("source", dict),
        neural=neural,
        neural_weight=_share(record.part("neural")) if neural else 0.0,
    )


def levels_of(origin: Path, files: Mapping[str, bytes]) -> tuple[list[str], list[Level]]:
    """Return vocabulary and n-grams of a scorer.

    Args:
        origin: its name in messages.
        files: as `read_scorer_files` returns them.

    Raises:
        LanguageModelError: as `read_package`.
    """
    record = read_record(from_memory(origin, SCORER, files), origin, SCORER)
    vocabulary = _vocabulary(record, files)
    with record.named():
        _refuse_repeated(record, vocabulary)
        return list(vocabulary), unpack(files[_NGRAMS], len(vocabulary), record.take("order", int))


def _model(
    record: Record, files: Mapping[str, bytes], vocabulary: Vocabulary
) -> NGramTables | Path:
    if _NGRAMS in files:
        order = record.take("order", int)
        digest = record.part("files").part(_NGRAMS).take("sha256", str)

        def flatten() -> NGramTables:
            # Here, for it takes as long as the rest of a start: once for these words and n-grams.
            _refuse_repeated(record, vocabulary)
            return build_tables(unpack(files[_NGRAMS], len(vocabulary), order))

        with record.named():
            return cached_tables(f"{digest} {vocabulary.sha256} {order}", flatten)
    _refuse_repeated(record, vocabulary)
    if "kenlm" not in record.values:
        raise LanguageModelError(f"{record.where} lists neither {_NGRAMS} nor {_KENLM}")
    path = record.origin / _KENLM
    if not record.origin.is_dir():
        raise LanguageModelError(
            f"{record.origin}: KenLM reads from a folder only; unpack this zip"
        )
    if not has_checksum(path, record.part("kenlm")):
        raise LanguageModelError(
            f"{record.origin}: {_KENLM} is damaged: its size or SHA-256 differs from that in "
            f"{SCORER.record}"
        )
    return path


def _neural(
    record: Record, files: Mapping[str, bytes], vocabulary: Vocabulary
) -> NeuralModel | None:
    if "neural" not in record.values:
        return None
    if _NEURAL not in files or _NGRAMS not in files:
        raise LanguageModelError(f"{record.where} lists no {_NEURAL}, or no {_NGRAMS} beside it")
    require_words(vocabulary, record.origin)
    part = record.part("neural")
    shape = {name: part.take(name, int) for name in ("words", "width", "hidden")}
    with record.named():
        return unpack_neural(files[_NEURAL], shape, len(vocabulary))


def _share(record: Record) -> float:
    share = record.number("weight")
    if not 0 <= share <= 1:
        raise record.error(f": 'weight' is {share:g}; it must be from 0 to 1")
    return share


def _weight(record: Record, name: str) -> float:
    weight = record.number(name)
    if abs(weight) > _LARGEST_WEIGHT:
        raise record.error(
            f": {name!r} is {weight:g}; it must be from -{_LARGEST_WEIGHT:g} to {_LARGEST_WEIGHT:g}"
        )
    return weight


def _vocabulary(record: Record, files: Mapping[str, bytes]) -> Vocabulary:
    vocabulary = Vocabulary(files.get(_WORDS, b""))
    _check_number(record, len(vocabulary))
    return vocabulary


def _refuse_repeated(record: Record, vocabulary: Vocabulary) -> None:
    """Refuse a vocabulary that has a word twice, of which one could never be found."""
    _check_number(record, len(set(vocabulary)))


def _check_number(record: Record, words: int) -> None:
    if words != record.take("vocabulary", int):
        raise LanguageModelError(
            f"{record.where}: {_WORDS} has a different number of words than its record says"
        )
