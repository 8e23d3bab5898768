"""One beam search in a process of its own, controlled through standard input.

Runs under any Python from 3.9 on that has numpy and the decoder; `compare.py` starts it.

Every system has the same language model: an ARPA file, beside which may lie what else a system
reads: a packaged scorer (the same name without a suffix), KenLM's binary (``.binary``), which those
that ask KenLM take then, and Coqui's scorer (``.scorer``).
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import answer, peak_bytes

SYMBOLS = " abcdefghijklmnopqrstuvwxyz'"
BEAM_WIDTH = 100


def read_words(arpa: Path) -> list[str]:
    """Return the words of an ARPA file."""
    words: list[str] = []
    with arpa.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("\\2-grams"):
                return words
            fields = line.split()
            if len(fields) in (2, 3) and not fields[1].startswith("<") and "=" not in line:
                words.append(fields[1])
    return words


def kenlm_file(arpa: Path) -> Path:
    """Return what KenLM loads: its binary where there is one, for that loads much faster."""
    binary = arpa.with_suffix(".binary")
    return binary if binary.exists() else arpa


class Plainspeech:
    """This package; ``from_kenlm`` asks KenLM instead of the flattened model."""

    def __init__(self, arpa: Path, from_kenlm: bool = False) -> None:
        from plainspeech.alphabet import ENGLISH
        from plainspeech.decoding.beam_search import BeamSearchDecoder
        from plainspeech.lm.scorer import Scorer

        if from_kenlm:
            scorer = Scorer.from_kenlm(kenlm_file(arpa), read_words(arpa))
        else:
            scorer = Scorer.load(arpa.with_suffix(""))
        self._words = scorer.words
        self._decoder = BeamSearchDecoder(ENGLISH, scorer)
        self._tuned = self._decoder
        self._hot_words: dict[str, float] = {}

    def tune(self, alpha: float, beta: float, **options: Any) -> None:
        """Take other weights; ``hot_words`` is how many rare words to boost."""
        count = options.pop("hot_words", 0)
        self._hot_words = dict.fromkeys(self._words[len(self._words) - count :], 2.0)
        self._tuned = self._decoder.with_settings(alpha=alpha, beta=beta, **options)

    def decode(self, rows: Any) -> str:
        """Return the text."""
        return self._tuned.decode(rows, self._hot_words).text

    def decode_all(self, utterances: list[Any], threads: int) -> list[str]:
        """Return the texts."""
        found = self._tuned.decode_batch(utterances, threads, self._hot_words)
        return [transcript.text for transcript in found]


class Pyctcdecode:
    """pyctcdecode, and what has the same face."""

    def __init__(self, arpa: Path, module: str) -> None:
        self._build = import_module(module).build_ctcdecoder
        self._model = str(kenlm_file(arpa))
        self._words = read_words(arpa)
        self._decoder: Any = None
        self.tune(0.5, 1.5)

    def tune(self, alpha: float, beta: float, hot_words: int = 0) -> None:
        """Take other weights; ``hot_words`` is how many rare words to boost."""
        self._options = {"hotwords": self._words[-hot_words:]} if hot_words else {}
        if hasattr(self._decoder, "reset_params"):
            self._decoder.reset_params(alpha=alpha, beta=beta)
        else:
            labels = [*SYMBOLS, ""]
            self._decoder = self._build(labels, self._model, self._words, alpha=alpha, beta=beta)

    def decode(self, rows: Any) -> str:
        """Return the text."""
        return str(self._decoder.decode(rows, beam_width=BEAM_WIDTH, **self._options))

    def score(self, rows: Any) -> float:
        """Return the score of the best text."""
        best = self._decoder.decode_beams(rows, beam_width=BEAM_WIDTH, **self._options)[0]
        return float(best[-1])


class Flashlight:
    """flashlight-text with its lexicon decoder; its language model scores are to base 10."""

    def __init__(self, arpa: Path) -> None:
        from flashlight.lib.text import decoder, dictionary  # type: ignore[import-not-found]
        from flashlight.lib.text.decoder.kenlm import KenLM  # type: ignore[import-not-found]

        self._library = decoder
        self._names = dictionary.Dictionary()
        words = read_words(arpa)
        for word in [*words, "<unk>"]:
            self._names.add_entry(word)
        self._lm = KenLM(str(kenlm_file(arpa)), self._names)
        self._trie = decoder.Trie(len(SYMBOLS) + 1, 0)
        start = self._lm.start(False)
        for word in words:
            index = self._names.get_index(word)
            _, score = self._lm.score(start, index)
            self._trie.insert([SYMBOLS.index(c) for c in f"{word} "], index, score)
        self._trie.smear(decoder.SmearingMode.MAX)
        self._decoder: Any = None

    def tune(self, alpha: float, beta: float, tokens: int = 29) -> None:
        """Take other weights; ``tokens`` is how many symbols of a frame are tried."""
        options = self._library.LexiconDecoderOptions(
            beam_size=BEAM_WIDTH,
            beam_size_token=tokens,
            beam_threshold=25.0,
            lm_weight=alpha * np.log(10),
            word_score=beta,
            unk_score=-np.inf,
            sil_score=0.0,
            log_add=False,
            criterion_type=self._library.CriterionType.CTC,
        )
        unknown = self._names.get_index("<unk>")
        self._decoder = self._library.LexiconDecoder(
            options, self._trie, self._lm, 0, len(SYMBOLS), unknown, [], False
        )

    def decode(self, rows: Any) -> str:
        """Return the text."""
        best = self._decoder.decode(rows.ctypes.data, *rows.shape)[0]
        return " ".join(self._names.get_entry(word) for word in best.words if word >= 0)


class Coqui:
    """coqui-stt-ctcdecoder, which needs Python 3.9 and numpy below 2."""

    def __init__(self, arpa: Path) -> None:
        import coqui_stt_ctcdecoder  # type: ignore[import-not-found]

        self._library = coqui_stt_ctcdecoder
        self._alphabet = coqui_stt_ctcdecoder.Alphabet()
        self._alphabet.InitFromLabels(list(SYMBOLS))
        path = str(arpa.with_suffix(".scorer"))
        self._scorer = coqui_stt_ctcdecoder.Scorer(0.75, 1.85, path, self._alphabet)

    def tune(self, alpha: float, beta: float) -> None:
        """Take other weights."""
        self._scorer.reset_params(alpha, beta)

    def decode(self, rows: Any) -> str:
        """Return the text."""
        found = self._library.ctc_beam_search_decoder(
            np.exp(rows.astype(np.float64)), self._alphabet, BEAM_WIDTH, scorer=self._scorer
        )
        return str(found[0].transcript).strip()


SYSTEMS = {
    "plainspeech": Plainspeech,
    "plainspeech-kenlm": lambda arpa: Plainspeech(arpa, from_kenlm=True),
    "ctc-beam-decoder": lambda arpa: Pyctcdecode(arpa, "ctc_beam_decoder"),
    "pyctcdecode": lambda arpa: Pyctcdecode(arpa, "pyctcdecode"),
    "plainspeech.pyctcdecode": lambda arpa: Pyctcdecode(arpa, "plainspeech.pyctcdecode"),
    "flashlight-text": Flashlight,
    "coqui": Coqui,
}


def read_posteriors(path: Path) -> list[Any]:
    """Return the log-probabilities of each utterance."""
    with np.load(path) as file:
        ends = np.cumsum(file["lens"])[:-1]
        return [np.ascontiguousarray(rows) for rows in np.split(file["logp"], ends)]


def main() -> None:
    """Answer questions until there are no more."""
    name, arpa, *paths = sys.argv[1:]
    sets = {path: read_posteriors(Path(path)) for path in paths}
    before, used = peak_bytes(), sum(os.times()[:4])
    begin = time.perf_counter()
    system: Any = SYSTEMS[name](Path(arpa))
    loaded = time.perf_counter() - begin
    answer(
        {
            "load": loaded,
            "processor": sum(os.times()[:4]) - used,
            "megabytes": (peak_bytes() - before) / 2**20,
        }
    )
    for line in sys.stdin:
        question = json.loads(line)
        system.tune(question["alpha"], question["beta"], **question["options"])
        utterances = sets[question["set"]][: question["first"]]
        system.decode(utterances[0])
        begin = time.perf_counter()
        if question["threads"] > 1:
            texts = system.decode_all(utterances, question["threads"])
        else:
            texts = [system.decode(rows) for rows in utterances]
        seconds = time.perf_counter() - begin
        found = {
            "texts": texts,
            "scores": [system.score(rows) for rows in utterances] if question["scores"] else [],
            "seconds": seconds,
            "frames": sum(map(len, utterances)),
            "load": loaded,
            "megabytes": (peak_bytes() - before) / 2**20,
        }
        answer(found)


if __name__ == "__main__":
    main()
