"""The recipe of a first run on recordings of one's own: what ``plainspeech init`` writes."""

from __future__ import annotations

import json

_TEMPLATE = """\
# A first run; docs/training.md says what else a recipe can have.
#
#   plainspeech train {file}
name = {name}
# "base" is three times as large and needs hours of speech, but cannot begin from the English model.
preset = "small"
# A language, a file with a letter a line, or the letters.
alphabet = {alphabet}
# The weights to begin from: the English model that ships, which helps in any language. Without this
# line they are random: for that, have hours of speech and twice as many epochs.
initial = "bundled"

[data]
train = [{train}]
dev = {dev}
{lexicon}# Seconds of audio in a batch: less takes less memory, and makes more steps of an epoch.
batch_seconds = {batch_seconds}

[augmentation]
# Each recording is heard faster and slower, and parts of it are hidden.
speeds = [0.9, 1.0, 1.1]

[optimisation]
epochs = 20
learning_rate = 1e-3
warmup_epochs = 2
average_decay = 0.99
{competition}# Measurements on dev without a better character error rate after which it ends.
patience = 6

[card]
# What the model says of itself (plainspeech model card).
description = ""
licence = ""
data = ""
"""


_LEXICON = """\
# How words sound, by the English model's lexicon: the model learns their phones, too, over which it
# is searched with a language model. Without this line it hears letters alone.
pronunciations = "bundled"
"""

_COMPETITION = """\
# Texts compete with the transcript, as the English model was trained (CTC-CRF).
crf_weight = 0.9
"""


def first_recipe(
    file: str, name: str, train: str, dev: str, alphabet: str, seconds: float, in_english: bool
) -> str:
    """Return a recipe with a comment on each choice.

    Args:
        file: of the recipe, for its first comment.
        name: of the run.
        train: the manifest to train on, relative to the recipe.
        dev: the manifest that selects the weights, likewise.
        alphabet: by its name, see `plainspeech.alphabet.find_alphabet`.
        seconds: of training data: of less of it, batches are smaller.
        in_english: whether the language is that of the model that ships, whose phones it keeps.
    """
    texts = {"name": name, "train": train, "dev": dev, "alphabet": alphabet}
    quoted = {key: json.dumps(value, ensure_ascii=False) for key, value in texts.items()}
    # At least about 25 steps an epoch, until batches are as large as is useful.
    batch_seconds = round(min(max(seconds / 25, 12), 160))
    kept = {
        "lexicon": _LEXICON if in_english else "",
        "competition": _COMPETITION if in_english else "",
    }
    return _TEMPLATE.format(file=file, batch_seconds=batch_seconds, **kept, **quoted)
