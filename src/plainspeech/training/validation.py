"""Error rates on dev while training."""

from __future__ import annotations

from collections.abc import Callable

import torch

from plainspeech.alphabet import Alphabet
from plainspeech.data.loading import Loader, plan_epoch
from plainspeech.decoding.greedy import greedy_text
from plainspeech.evaluation.error_rates import ErrorRates, Pair, error_rates
from plainspeech.model.base import AcousticModel
from plainspeech.training.features import FeatureExtractor
from plainspeech.training.precision import autocast

_BATCH_SECONDS = 300.0  # without gradients, more fits into memory than in training


@torch.no_grad()
def validate(
    model: AcousticModel,
    loader: Loader,
    features: FeatureExtractor,
    alphabet: Alphabet,
    mixed: bool,
    on_batch: Callable[[], None],
) -> ErrorRates:
    """Return the greedy error rates of ``model`` on the loader's utterances, corpus-level.

    Args:
        model: which is left ready to evaluate, not to train.
        loader: of the utterances.
        features: makes theirs, not augmented, where the model is.
        alphabet: of the model's outputs.
        mixed: whether to compute in mixed precision.
        on_batch: called after every batch; what it raises ends the validation.
    """
    model.eval()
    durations = [utterance.duration for utterance in loader.utterances]
    pairs = []
    for batch in loader.batches(plan_epoch(durations, _BATCH_SECONDS, seed=0, epoch=0)):
        tensors = features(batch)
        with autocast(mixed, tensors.features.device):
            log_probabilities, lengths = model(tensors.features, tensors.lengths)
        for utterance, rows, length in zip(
            batch.utterances, log_probabilities.cpu().numpy(), lengths.tolist(), strict=True
        ):
            hypothesis = greedy_text(rows[:length], alphabet)
            pairs.append(Pair(utterance.id, utterance.speaker, utterance.text, hypothesis))
        on_batch()
    return error_rates(pairs)
