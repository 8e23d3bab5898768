"""Error rates on dev while training."""

from __future__ import annotations

import torch

from plainspeech.alphabet import Alphabet
from plainspeech.data.batches import plan_epoch
from plainspeech.data.loading import Loader
from plainspeech.decoding.greedy import greedy_text
from plainspeech.evaluation.error_rates import ErrorRates, Pair, error_rates
from plainspeech.model.base import AcousticModel
from plainspeech.training.precision import autocast
from plainspeech.training.step import TensorBatch


@torch.no_grad()
def validate(
    model: AcousticModel,
    loader: Loader,
    alphabet: Alphabet,
    mixed: bool,
    device: torch.device,
    batch_seconds: float = 300.0,
) -> ErrorRates:
    """Return the greedy error rates of ``model`` on the loader's utterances, corpus-level."""
    model.eval()
    durations = [utterance.duration for utterance in loader.utterances]
    pairs = []
    for batch in loader.batches(plan_epoch(durations, batch_seconds, seed=0, epoch=0)):
        tensors = TensorBatch.of(batch, device)
        with autocast(mixed, device):
            log_probabilities, lengths = model(tensors.features, tensors.lengths)
        for utterance, rows, length in zip(
            batch.utterances, log_probabilities.cpu().numpy(), lengths.tolist(), strict=True
        ):
            hypothesis = greedy_text(rows[:length], alphabet)
            pairs.append(Pair(utterance.id, utterance.speaker, utterance.text, hypothesis))
    return error_rates(pairs)
