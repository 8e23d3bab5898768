"""Weights of one alphabet as the start of a model of another: of a new language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from plainspeech.alphabet import Alphabet
from plainspeech.model.base import AcousticModel
from plainspeech.training.checkpoint import PHONES, Checkpoint


def with_alphabet(checkpoint: Checkpoint, alphabet: Alphabet, model: AcousticModel) -> Checkpoint:
    """Return ``checkpoint`` with an output for every symbol of ``alphabet``.

    Outputs of symbols that both alphabets have, and of the blank, stay; those that are new are
    ``model``'s. All other layers stay as they are: much of what they hear is in any language (Huang
    et al., ICASSP 2013).

    Args:
        checkpoint: of a model like ``model``.
        alphabet: of ``model``.
        model: with random weights.
    """
    if checkpoint.alphabet == alphabet:
        return checkpoint
    tensors = dict(checkpoint.tensors)
    places = [_place(symbol, checkpoint.alphabet) for symbol in (*alphabet.symbols, None)]
    for name in _output_weights(model):
        old, new = tensors.get(f"average.{name}"), model.state_dict()[name]
        if old is not None and len(old) == checkpoint.alphabet.size:
            tensors[f"average.{name}"] = _rows(old, new, places)
    return replace(checkpoint, tensors=tensors)


def with_phones(checkpoint: Checkpoint, phones: Sequence[str], model: AcousticModel) -> Checkpoint:
    """Return ``checkpoint`` with a head over ``phones`` if ``model`` has one.

    It is the checkpoint's own if that knows the same phones, else ``model``'s.

    Args:
        checkpoint: of a model like ``model``.
        phones: that ``model`` learns, in order.
        model: with random weights.
    """
    if checkpoint.phones == tuple(phones):
        return checkpoint
    own = {name: w for name, w in model.state_dict().items() if name.startswith(PHONES)}
    fresh = {f"average.{name}": weight.cpu() for name, weight in own.items()}
    return replace(checkpoint, tensors={**checkpoint.tensors, **fresh})


def kept_outputs(old: Alphabet, new: Alphabet) -> str:
    """Return the symbols whose outputs `with_alphabet` keeps."""
    return "".join(symbol for symbol in new.symbols if symbol in old.symbols)


def _place(symbol: str | None, alphabet: Alphabet) -> int | None:
    """Return the output of a symbol; of the blank where ``symbol`` is None."""
    if symbol is None:
        return alphabet.blank_id
    return alphabet.symbols.index(symbol) if symbol in alphabet.symbols else None


def _output_weights(model: AcousticModel) -> list[str]:
    layers = model.classifiers()
    return [
        f"{prefix}.{name}"
        for prefix, module in model.named_modules()
        if isinstance(module, nn.Linear) and any(module is layer for layer in layers)
        for name, _ in module.named_parameters()
    ]


def _rows(old: Tensor, new: Tensor, places: list[int | None]) -> Tensor:
    rows = [new[i].cpu() if place is None else old[place] for i, place in enumerate(places)]
    return torch.stack(rows)
