"""The network of a recurrent language model in PyTorch, and how well it predicts a text.

What is trained here, `plainspeech.lm.neural` computes without torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from plainspeech.lm.neural import END, OTHER, NeuralModel

_SENTENCES_AT_ONCE, _OUTPUTS_AT_ONCE = 64, 256  # whose sums over the vocabulary are in memory


@dataclass(frozen=True)
class HeldOut:
    """How well a text is predicted, normalised exactly over the model's rows.

    Attributes:
        perplexity: of its words and ends of sentences; all words without rows count as one.
        words: how many these are, the ends included.
        others: of them without rows.
        log_sum: mean of the logarithm of the sum over the rows: 0 of a model that is normalised.
        log_sum_deviation: the standard deviation of it.
    """

    perplexity: float
    words: int
    others: int
    log_sum: float
    log_sum_deviation: float


class RecurrentLanguageModel(nn.Module):
    """The network.

    Args:
        counts: ``(rows,)`` of the text, whose unigrams the biases begin as.
        width: of the embeddings.
        hidden: units of the LSTM.
        seed: of its weights.
    """

    def __init__(self, counts: Tensor, width: int, hidden: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.embeddings = nn.Parameter(torch.empty(len(counts), width))
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.projection = nn.Linear(hidden, width, bias=False)
        self.biases = nn.Parameter((counts.double() / counts.sum()).log().float())
        bound = 1 / math.sqrt(hidden)
        with torch.no_grad():
            self.embeddings.normal_(std=0.05, generator=generator)
            for weight in (*self.lstm.parameters(), *self.projection.parameters()):
                weight.uniform_(-bound, bound, generator=generator)

    def forward(
        self, embedded: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return what products with the embeddings make logarithms of probabilities.

        Args:
            embedded: ``(streams, words, width)``.
            state: ``(1, streams, hidden)`` each; None for zeros.

        Returns:
            ``(streams, words, width)``, and the state after the last word.
        """
        outputs, state = self.lstm(embedded, state)
        return self.projection(outputs), state

    def neural_model(self, words: np.typing.NDArray[np.int32]) -> NeuralModel:
        """Return the weights; ``words`` are the scorer's ids of the rows."""
        weights = {name: value.detach().numpy().copy() for name, value in self.named_parameters()}
        return NeuralModel(
            words,
            embeddings=weights["embeddings"],
            biases=weights["biases"],
            input_weights=weights["lstm.weight_ih_l0"],
            state_weights=weights["lstm.weight_hh_l0"],
            gate_biases=weights["lstm.bias_ih_l0"] + weights["lstm.bias_hh_l0"],
            projection=weights["projection.weight"],
        )

    @torch.no_grad()
    def held_out(self, sentences: Sequence[Sequence[int]]) -> HeldOut:
        """Return how well ``sentences``, rows without `END`, are predicted, each by itself."""
        ordered = sorted(sentences, key=len)
        gains: list[Tensor] = []
        sums: list[Tensor] = []
        for start in range(0, len(ordered), _SENTENCES_AT_ONCE):
            some = ordered[start : start + _SENTENCES_AT_ONCE]
            longest = max(map(len, some)) + 1
            targets = torch.full((len(some), longest), -1)
            for place, sentence in enumerate(some):
                targets[place, : len(sentence) + 1] = torch.tensor([*sentence, END])
            inputs = functional.pad(targets[:, :-1].clamp(min=0), (1, 0), value=END)
            outputs = self(self.embeddings[inputs])[0]
            there = targets >= 0
            for hidden, wanted in zip(
                torch.split(outputs[there], _OUTPUTS_AT_ONCE),
                torch.split(targets[there], _OUTPUTS_AT_ONCE),
                strict=True,
            ):
                scores = hidden @ self.embeddings.T + self.biases
                sums.append(scores.logsumexp(1).double())
                gains.append(scores.gather(1, wanted[:, None])[:, 0].double() - sums[-1])
        log_sums = torch.cat(sums)
        return HeldOut(
            perplexity=math.exp(-torch.cat(gains).mean().item()),
            words=len(log_sums),
            others=sum(list(sentence).count(OTHER) for sentence in sentences),
            log_sum=log_sums.mean().item(),
            log_sum_deviation=log_sums.std(correction=0).item(),
        )
