"""What a network recognises greedily while it is trained: of dev, and of what it has heard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from plainspeech.alphabet import Alphabet
from plainspeech.data.loading import Loader, plan_epoch
from plainspeech.data.manifest import Utterance
from plainspeech.data.packed import PackedLoader
from plainspeech.decoding.greedy import greedy_text
from plainspeech.evaluation.error_rates import Pair
from plainspeech.model.base import AcousticModel
from plainspeech.training.device import FeatureExtractor, autocast

_SAMPLE = 50  # utterances
_BATCH_SECONDS = 300.0  # without gradients, more fits into memory than in training


def sample(train: Sequence[Utterance], archives: Mapping[str, str] | None) -> list[Utterance]:
    """Return 50 utterances evenly over ``train``, or all if they are fewer; each once.

    They are recognised with each measurement: the distance between their error rates and those of
    dev is what was learned by heart. Of packed data they are of the first shard, so that it is
    enough to read that.

    Args:
        train: what is trained on.
        archives: of packed data, by the ids of its utterances.
    """
    if archives:
        train = [u for u in train if archives[u.id] == archives[train[0].id]]
    different = list({utterance.id: utterance for utterance in train}.values())
    count = min(_SAMPLE, len(different))
    return [different[index * len(different) // count] for index in range(count)]


@torch.no_grad()
def validate(
    model: AcousticModel,
    loader: Loader | PackedLoader,
    features: FeatureExtractor,
    alphabet: Alphabet,
    mixed: bool,
    on_batch: Callable[[], None],
) -> list[Pair]:
    """Return what ``model`` recognises of the loader's utterances, greedily, in their order.

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
    texts = {}
    for batch in loader.batches(plan_epoch(durations, _BATCH_SECONDS, seed=0, epoch=0)):
        tensors = features(batch)
        with autocast(mixed, tensors.features.device):
            log_probabilities, lengths = model(tensors.features, tensors.lengths)
        for utterance, rows, length in zip(
            batch.utterances, log_probabilities.cpu().numpy(), lengths.tolist(), strict=True
        ):
            texts[utterance.id] = greedy_text(rows[:length, : alphabet.size], alphabet)
        on_batch()
    return [Pair(u.id, u.speaker, u.text, texts[u.id]) for u in loader.utterances]
