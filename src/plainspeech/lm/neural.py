"""A recurrent language model, which scores whole texts beside the n-grams of a scorer.

An LSTM over words (T. Mikolov et al., Recurrent neural network based language model, Interspeech
2010; M. Sundermeyer et al., LSTM neural networks for language modeling, Interspeech 2012) with a
projection to the width of the embeddings, which are those of its input and of its output (O. Press
and L. Wolf, EACL 2017). Trained by noise-contrastive estimation it is normalised by itself, so that
a word costs one product and no sum over the vocabulary (A. Mnih and Y. W. Teh, ICML 2012; X. Chen
et al., ICASSP 2015). Its vocabulary is the frequent words of the scorer's; what it gives all others
together is divided among them as their unigrams are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plainspeech.arrays import Array
from plainspeech.errors import LanguageModelError
from plainspeech.lm.tables import EOS_ID, UNKNOWN_ID, Floats, Ints
from plainspeech.lm.vocabulary import is_over_characters

END, OTHER = 0, 1
"""Rows of the embeddings: the end of a sentence, which begins one, too, and all other words."""

_LARGEST_VOCABULARY, _LARGEST_WIDTH = 1 << 20, 1 << 13
_LARGEST_VALUE = 1e4


@dataclass(frozen=True)
class NeuralState:
    """What a model knows of a sentence that has begun.

    Attributes:
        latest: row of the word that it will read next, the latest of the sentence.
        hidden: ``(1, hidden)``, after the words before it.
        cell: likewise.
    """

    latest: int
    hidden: Floats
    cell: Floats


@dataclass(frozen=True)
class NeuralModel:
    """The weights.

    Attributes:
        words: ``(rows,)`` the scorer's ids of its words; those of `END` and `OTHER` first.
        embeddings: ``(rows, width)``.
        biases: ``(rows,)`` of the output.
        input_weights: ``(4 * hidden, width)``, gates in the order of torch: input, forget, cell,
            output.
        state_weights: ``(4 * hidden, hidden)``.
        gate_biases: ``(4 * hidden,)``.
        projection: ``(width, hidden)``.
    """

    words: Ints
    embeddings: Floats
    biases: Floats
    input_weights: Floats
    state_weights: Floats
    gate_biases: Floats
    projection: Floats

    @property
    def shape(self) -> dict[str, int]:
        """The sizes that `unpack_neural` needs."""
        rows, width = self.embeddings.shape
        return {"words": rows, "width": width, "hidden": self.projection.shape[1]}

    def begin(self) -> NeuralState:
        """Return the state at the beginning of a sentence."""
        zeros = np.zeros((1, self.projection.shape[1]), np.float32)
        return NeuralState(END, zeros, zeros)

    def after(self, before: NeuralState, rows: Ints) -> NeuralState:
        """Return the state after some more words, ``rows`` of the embeddings."""
        latest, hidden, cell = before.latest, before.hidden, before.cell
        for row in rows.tolist():
            inputs = self.embeddings[[latest]] @ self.input_weights.T + self.gate_biases
            hidden, cell = self._advance(inputs, hidden, cell)
            latest = row
        return NeuralState(latest, hidden, cell)

    def sentence_log_probabilities(
        self, sentences: Sequence[Ints], begun: NeuralState | None = None, ended: bool = True
    ) -> list[float]:
        """Return ln p of each of ``sentences``, rows of words; natural logarithms.

        What sentences have in common at their beginning is computed once.

        Args:
            sentences: without their ends.
            begun: the state that they go on from; None for their beginning.
            ended: whether they end after these words, which has a probability, too.
        """
        begun = begun or self.begin()
        totals = np.zeros(len(sentences))
        lengths = np.array([len(sentence) + ended for sentence in sentences], np.intp)
        shape = len(sentences), int(lengths.max(initial=0))
        rows = np.full(shape, END, np.intp)
        for row, sentence in zip(rows, sentences, strict=True):
            row[: len(sentence)] = sentence
        # Few words in many places: what they send to the gates is computed once.
        known, places = np.unique(np.append(rows, begun.latest), return_inverse=True)
        rows, latest = places[:-1].reshape(shape), places[-1:]
        embeddings, biases = self.embeddings[known], self.biases[known]
        inputs = embeddings @ self.input_weights.T + self.gate_biases
        # The prefixes of one length at a time: `at` is the place of each sentence's among them.
        alive = np.flatnonzero(lengths)
        at, hidden, cell = np.zeros(len(alive), np.intp), begun.hidden, begun.cell
        for length in range(shape[1]):
            hidden, cell = self._advance(inputs[latest], hidden, cell)
            outputs, following = hidden @ self.projection.T, rows[alive, length]
            gains = np.einsum("ij,ij->i", outputs[at], embeddings[following])
            totals[alive] += gains + biases[following]
            goes_on = lengths[alive] > length + 1
            alive, pairs = alive[goes_on], (at * len(known) + following)[goes_on]
            distinct, at = np.unique(pairs, return_inverse=True)
            before, latest = np.divmod(distinct, len(known))
            hidden, cell = hidden[before], cell[before]
        return [float(total) for total in totals]

    def _advance(self, inputs: Array, hidden: Array, cell: Array) -> tuple[Array, Array]:
        """Return the states, ``(prefixes, hidden)``, after one more word each.

        Args:
            inputs: ``(prefixes, 4 * hidden)`` what the words send to the gates.
            hidden: the states before.
            cell: the same.
        """
        gates = inputs + hidden @ self.state_weights.T
        taken, kept, new, shown = np.split(gates, 4, axis=1)
        cell = _sigmoid(kept) * cell + _sigmoid(taken) * np.tanh(new)
        return _sigmoid(shown) * np.tanh(cell), cell


def _sigmoid(values: Array) -> Array:
    half = np.float32(0.5)
    sigmoid: Array = half * np.tanh(half * values) + half
    return sigmoid


class SentenceScorer:
    """Scores sentences of a scorer's words; made once for a scorer.

    Args:
        model: the weights.
        unigrams: ``(vocabulary,)`` natural logarithms of the probabilities of the scorer's words.
    """

    def __init__(self, model: NeuralModel, unigrams: Floats) -> None:
        self._model = model
        self._rows = np.full(len(unigrams), OTHER, np.int32)
        self._rows[model.words] = np.arange(len(model.words))
        other = self._rows == OTHER
        together = np.logaddexp.reduce(unigrams[other], dtype=np.float64)
        self._shares = np.where(other, unigrams - together, 0.0)

    def begin(self) -> NeuralState:
        """Return the state at the beginning of a sentence."""
        return self._model.begin()

    def after(self, before: NeuralState, words: Sequence[int]) -> NeuralState:
        """Return the state after some more words, ids of the scorer's."""
        return self._model.after(before, self._rows[np.array(words, np.intp)])

    def log_probabilities(
        self,
        sentences: Sequence[Sequence[int]],
        begun: NeuralState | None = None,
        ended: bool = True,
    ) -> list[float]:
        """Return ln p of each of ``sentences``, ids of the scorer's words.

        Args:
            sentences: without their ends.
            begun: the state that they go on from; None for their beginning.
            ended: whether they end after these words.
        """
        places = [np.array(each, np.intp) for each in sentences]
        rows = [self._rows[each] for each in places]
        scores = self._model.sentence_log_probabilities(rows, begun, ended)
        return [
            score + float(self._shares[each].sum())
            for score, each in zip(scores, places, strict=True)
        ]


def require_words(vocabulary: Sequence[str], scorer: object) -> None:
    """Refuse a scorer that can have no recurrent model, for it is over characters.

    Args:
        vocabulary: the special words, then the others.
        scorer: its name in messages.

    Raises:
        LanguageModelError: it is over characters.
    """
    if is_over_characters(vocabulary):
        raise LanguageModelError(
            f"{scorer}: is over characters, and a recurrent language model is over words; name a "
            f"scorer over words, or make one: plainspeech lm build TEXT -o SCORER"
        )


def pack_neural(model: NeuralModel) -> bytes:
    """Return the weights as bytes: embeddings of 8 bits with a scale a row, the rest of 16 or 32.

    The arrays are one after the other, as `_layout` has them.
    """
    scales = np.maximum(np.abs(model.embeddings).max(axis=1), 1e-6).astype("<f4") / np.float32(127)
    steps = np.rint(model.embeddings / scales[:, None]).astype(np.int8)
    parts = {
        "words": model.words,
        "scales": scales,
        "biases": model.biases,
        "gate_biases": model.gate_biases,
        "input_weights": model.input_weights,
        "state_weights": model.state_weights,
        "projection": model.projection,
        "embeddings": steps,
    }
    layout = _layout(**model.shape)
    return b"".join(
        np.ascontiguousarray(parts[name], kind).tobytes() for name, (kind, _) in layout.items()
    )


def unpack_neural(content: bytes, shape: Mapping[str, int], vocabulary: int) -> NeuralModel:
    """Return what `pack_neural` packed, rounded.

    Args:
        content: of the file.
        shape: `NeuralModel.shape`.
        vocabulary: how many words the scorer has.

    Raises:
        LanguageModelError: they are not the weights of such a model.
    """
    limits = {"words": _LARGEST_VOCABULARY, "width": _LARGEST_WIDTH, "hidden": _LARGEST_WIDTH}
    for name, most in limits.items():
        if not 1 <= shape[name] <= most:
            raise LanguageModelError(
                f"the neural language model: {name!r} is {shape[name]}; it must be 1 to {most}"
            )
    layout = _layout(**shape)
    if len(content) != sum(np.dtype(kind).itemsize * math.prod(s) for kind, s in layout.values()):
        raise LanguageModelError("the neural language model has another size than its record says")
    place, arrays = 0, dict[str, npt.NDArray[np.generic]]()
    for name, (kind, size) in layout.items():
        count = math.prod(size)
        arrays[name] = np.frombuffer(content, kind, count, place).reshape(size)
        place += count * np.dtype(kind).itemsize
    words = arrays.pop("words").astype(np.int32)
    distinct = len(np.unique(words)) == len(words)
    if not distinct or words.min() < 0 or words.max() >= vocabulary or len(words) < 2:
        raise LanguageModelError("the neural language model has words that the scorer has not")
    if words[END] != EOS_ID or words[OTHER] != UNKNOWN_ID:
        raise LanguageModelError("the neural language model lacks the end of the sentence")
    values = {name: array.astype(np.float32) for name, array in arrays.items()}
    for array in values.values():
        # Also of what is not a number.
        if not (np.abs(array) <= _LARGEST_VALUE).all():
            raise LanguageModelError("the neural language model has weights that are not finite")
    scales = values.pop("scales")
    values["embeddings"] *= scales[:, None]
    return NeuralModel(words, **values)


def _layout(words: int, width: int, hidden: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return type and shape of each array of a file."""
    return {
        "words": ("<i4", (words,)),
        "scales": ("<f4", (words,)),
        "biases": ("<f4", (words,)),
        "gate_biases": ("<f4", (4 * hidden,)),
        "input_weights": ("<f2", (4 * hidden, width)),
        "state_weights": ("<f2", (4 * hidden, hidden)),
        "projection": ("<f2", (width, hidden)),
        "embeddings": ("i1", (words, width)),
    }
