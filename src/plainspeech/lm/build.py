"""Building an n-gram model from text, by this package, or by ``lmplz`` where memory is short."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.errors import ConfigurationError, LanguageModelError, nearest
from plainspeech.foreign_characters import ForeignCharacters
from plainspeech.lm.arpa import ArpaModel, read_arpa
from plainspeech.lm.corpus import Corpus, encode, read_sentences
from plainspeech.lm.entropy_pruning import prune_by_entropy
from plainspeech.lm.kneser_ney import count_ngrams, estimate
from plainspeech.lm.tables import SPECIAL_WORDS

_MEMORY = "1G"  # for sorting; the rest is on disk

_BYTES_A_WORD = 160
"""That the builtin estimator takes: measured were 210 to 130, for 3 to 40 million words of books
and order 4."""

_USUAL_MEMORY = 8 << 30  # bytes, where the system does not say

ESTIMATORS = ("auto", "lmplz", "builtin")
_LARGEST_ORDER = 6  # that lmplz is compiled for, and beyond what helps a scorer


def find_lmplz() -> str | None:
    """Return where ``lmplz`` is, None where it is not on the PATH."""
    return shutil.which("lmplz")


def estimate_with_lmplz(
    program: str, corpus: Corpus, words: int, prune: Sequence[int], folder: Path
) -> ArpaModel:
    """Estimate a model.

    Args:
        program: ``lmplz``.
        corpus: the text.
        words: number of words of the vocabulary to keep; n-grams with others are pruned.
        prune: for each order the count up to which n-grams are pruned, non-decreasing.
        folder: for its files.

    Raises:
        LanguageModelError: the program fails.
    """
    vocabulary, arpa, log = corpus.vocabulary[:words], folder / "model.arpa", folder / "log"
    (folder / "words").write_text("\n".join(vocabulary[len(SPECIAL_WORDS) :]), encoding="utf-8")
    command = [
        *(program, "--order", str(len(prune)), "--prune", *map(str, prune)),
        *("--limit_vocab_file", str(folder / "words"), "--discount_fallback"),
        *("--memory", _MEMORY, "--temp_prefix", f"{folder}/", "--arpa", str(arpa)),
    ]
    if _run(command, corpus, log):
        said = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
        raise LanguageModelError(f"{program}: failed: {said[-1]}")
    return read_arpa(arpa, vocabulary)


def _run(command: Sequence[str], corpus: Corpus, log: Path) -> int:
    """Run ``command`` with the text as its input; return its status."""
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=stderr)  # noqa: S603
        assert process.stdin is not None
        # If the program has ended early, its log says why.
        with suppress(BrokenPipeError), process.stdin as stdin:
            stdin.writelines(text.encode() for text in corpus.text())
        return process.wait()


@dataclass(frozen=True)
class BuildSettings:
    """How to build a model from text.

    Attributes:
        order: of the longest n-grams, in words.
        prune: for each order, the count up to which n-grams are pruned; the last one also
            applies to all higher orders.
        entropy: prune n-grams whose removal raises the cross entropy by less, nats per word.
        words: size of the vocabulary, the most frequent words; None for all.
        estimator: auto chooses builtin, and lmplz, which sorts on disk, where the text is too large
            for half of the memory and lmplz is on the PATH.
        alphabet: to which the text is normalised.
    """

    order: int = 4
    prune: tuple[int, ...] = (0, 0, 1)
    entropy: float = 0.0
    words: int | None = None
    estimator: str = "auto"
    alphabet: Alphabet = ENGLISH

    def __post_init__(self) -> None:
        if not 1 <= self.order <= _LARGEST_ORDER:
            raise ConfigurationError(
                f"order is {self.order}; it must be from 1 to {_LARGEST_ORDER}"
            )
        if not 1 <= len(self.prune) <= self.order:
            raise ConfigurationError(
                f"prune has {len(self.prune)} counts; there must be 1 to {self.order}, "
                f"one for each order"
            )
        if self.prune[0] != 0:
            raise ConfigurationError(
                "prune: the first count must be 0; limit the vocabulary with words instead"
            )
        if list(self.prune) != sorted(self.prune):
            raise ConfigurationError("prune: counts must not decrease from one order to the next")
        if not 0 <= self.entropy < math.inf:
            raise ConfigurationError(
                f"entropy is {self.entropy}; it must be finite and not below 0"
            )
        if self.words is not None and self.words < 1:
            raise ConfigurationError(f"words is {self.words}; it must be 1 or above")
        if self.estimator not in ESTIMATORS:
            raise ConfigurationError(
                f"unknown estimator {self.estimator!r}; {nearest(self.estimator, ESTIMATORS)}"
            )

    @property
    def thresholds(self) -> tuple[int, ...]:
        """One value of `prune` for each order."""
        return self.prune + self.prune[-1:] * (self.order - len(self.prune))


def build_model(
    texts: Sequence[Path], settings: BuildSettings, foreign: ForeignCharacters | None = None
) -> tuple[ArpaModel, dict[str, Any]]:
    """Build a model from text; return it and a record of its sources.

    The text may be larger than memory: four bytes a word of it are kept in temporary files.

    Args:
        texts: see `plainspeech.lm.corpus.read_sentences`.
        settings: of the model.
        foreign: counts the lines of which the alphabet loses something.

    Raises:
        PlainspeechError: a text cannot be read, there are no words in it, or lmplz fails.
    """
    program = find_lmplz() if settings.estimator != "builtin" else None
    if settings.estimator == "lmplz" and program is None:
        raise ConfigurationError(
            "estimator: lmplz is not on the PATH; docs/language-models.md says how to get it"
        )
    with tempfile.TemporaryDirectory(prefix="plainspeech-lm-") as name:
        folder = Path(name)
        corpus = encode(read_sentences(texts, settings.alphabet, foreign), folder)
        if settings.estimator == "auto" and corpus.words * _BYTES_A_WORD <= _memory() // 2:
            program = None  # which would take 1.3 to 3 times as long
        model = _estimate(corpus, settings, program, folder)
        if settings.entropy:
            levels = prune_by_entropy(model.levels, corpus, settings.entropy, folder)
            model = replace(model, levels=levels)
        source = {
            "texts": record_of_texts(texts),
            "sentences": corpus.sentences,
            "words": corpus.words,
            "different_words": len(corpus.vocabulary) - len(SPECIAL_WORDS),
            "estimator": "lmplz" if program else "builtin",
            "prune": list(settings.thresholds),
            "entropy": settings.entropy,
        }
    return model, source


def _memory() -> int:
    """Return the bytes of this machine's memory."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no such function
        return _USUAL_MEMORY


def _estimate(
    corpus: Corpus, settings: BuildSettings, program: str | None, folder: Path
) -> ArpaModel:
    most = len(corpus.vocabulary)
    if settings.words is not None:
        most = min(most, settings.words + len(SPECIAL_WORDS))
    if program is not None:
        return estimate_with_lmplz(program, corpus, most, settings.thresholds, folder)
    counts = count_ngrams(corpus, settings.order, folder)
    levels = estimate(counts, most, settings.thresholds)
    return ArpaModel(corpus.vocabulary[: len(levels[0].words)], levels)


def record_of_texts(texts: Sequence[Path]) -> list[dict[str, str]]:
    """Return name and SHA-256 of each text, for the record of a model."""
    return [{"name": text.name, "sha256": _sha256(text)} for text in texts]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
