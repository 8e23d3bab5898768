"""Estimation by KenLM's ``lmplz``, a program that sorts on disk."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from plainspeech.errors import LanguageModelError
from plainspeech.lm.arpa import ArpaModel, read_arpa
from plainspeech.lm.corpus import Corpus
from plainspeech.lm.tables import SPECIAL_WORDS

_MEMORY = "1G"  # to sort in; the rest is on disk


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
        words: how many of the vocabulary to keep; n-grams with others are pruned.
        prune: for each order the count up to which n-grams are pruned, not falling.
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
