"""What a recipe costs here, measured, and what that lets expect of a GPU.

Takes steps of the recipe on noise, with durations distributed as LibriSpeech's, in micro-batches of
its own size or smaller, and counts the multiply-adds of the network: of layers with weights, which
are nearly all of them; training takes three times the forward pass (forward, and backward to inputs
and to weights). From these:

- measured: processor time of a second of audio, operations a second, memory;
- ESTIMATED: hours of a GPU, as the operations of the whole run over what a GPU sustains. No GPU was
  measured. Two shares of its peak in bfloat16 bracket it: small recurrent networks reach
  little of it. Features, augmentation and the loss, which are no matrix products, are in the
  measured times, and not in the operations.

    python -m benchmarks.training.cost recipes/libri100.toml --hours 100.6
"""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from benchmarks.processes import machine
from benchmarks.training.speed import drawn_corpus, make_batch
from plainspeech.errors import PlainspeechError

if TYPE_CHECKING:
    from plainspeech.model.base import AcousticModel
    from plainspeech.model.presets import Preset

GPUS = {"A100": 312e12, "H100": 989e12}
"""Dense operations a second in bfloat16, by their makers' data sheets."""

SUSTAINED = (0.05, 0.15)
"""Shares of that which are assumed."""


def multiply_adds(model: AcousticModel, preset: Preset, seconds: float = 12.0) -> float:
    """Return the multiply-adds of layers with weights for a second of audio, forward."""
    import torch
    from torch import nn

    counted = 0.0

    def count(layer: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal counted
        if isinstance(layer, nn.LSTM | nn.GRU):
            matrices = sum(w.numel() for w in layer.parameters() if w.ndim > 1)
            counted += matrices * inputs[0].shape[1]
        elif isinstance(layer, nn.Linear):
            counted += layer.weight.numel() * output[..., 0].numel()
        elif isinstance(layer, nn.Conv2d):
            counted += layer.weight.numel() * output[:, 0].numel()

    hooks = [layer.register_forward_hook(count) for layer in model.modules()]
    frames = round(seconds * 1000 / preset.features.hop_ms)
    with torch.no_grad():
        model.heads(torch.randn(1, frames, preset.features.bins), torch.tensor([frames]))
    for hook in hooks:
        hook.remove()
    return counted / seconds


def main(
    recipe: Annotated[Path, typer.Argument(help="Whose cost to tell.")],
    hours: Annotated[float, typer.Option(help="Of audio in its training data.")],
    steps: Annotated[int, typer.Option(min=2, help="Micro-batches to measure, after one.")] = 6,
    seconds: Annotated[
        float | None, typer.Option(help="Of audio in a micro-batch; the recipe's by default.")
    ] = None,
) -> None:
    """Measure and print."""
    import torch

    from plainspeech.data.loading import plan_epoch
    from plainspeech.model.presets import preset
    from plainspeech.training.loop import Share, Trainer
    from plainspeech.training.recipe import read_recipe

    settings = read_recipe(recipe)
    chosen = preset(settings.preset)
    own = settings.data.batch_seconds / settings.data.micro_batches
    size = seconds or own
    settings = replace(settings, data=replace(settings.data, train=()))
    trainer = Trainer(settings, chosen, (), (), Path(), {}, torch.device("cpu"))
    trainer.state.model.train()
    corpus = drawn_corpus()
    plan = plan_epoch(corpus.durations, size, settings.seed, epoch=1)
    before = _peak()
    audio, spent = [], []
    for indices in plan[: steps + 1]:
        batch = make_batch(corpus, indices)
        began = time.process_time()
        trainer.step(Share.whole(batch), 1e-4)
        spent.append(time.process_time() - began)
        audio.append(sum(corpus.durations[index] for index in indices))
    views = 2 if settings.optimisation.consistency_weight else 1
    of_a_second = multiply_adds(trainer.state.model, chosen)
    rates = [done / took for done, took in zip(audio[1:], spent[1:], strict=True)]
    heard = hours * settings.optimisation.epochs * views
    operations = 2 * 3 * of_a_second * heard * 3600
    sustained = 2 * 3 * of_a_second * views * float(np.median(rates))
    alone = hours * settings.optimisation.epochs / np.median(rates)
    weights = sum(weight.numel() for weight in trainer.state.model.parameters())
    print(
        f"{recipe.name}: preset {settings.preset}, {weights / 1e6:.1f} M parameters, "
        f"{'bf16' if trainer.mixed else 'fp32'}; {machine()}\n\n"
        f"measured, {steps} micro-batches of {size:g} s ({own:g} s in the recipe), noise:\n"
        f"  {np.median(rates):.1f} hours of audio an hour of processor time "
        f"({min(rates):.1f} to {max(rates):.1f}), {views} views of each\n"
        f"  {(_peak() - before) / size / 2**20:.1f} MiB for a second of audio in the micro-batch, "
        f"and {before / 2**30:.2f} GiB\n"
        f"counted: {of_a_second / 1e6:.0f} M multiply-adds a second of audio and view, forward\n"
        f"so this processor does {sustained / 1e9:.0f} thousand million operations a second\n\n"
        f"the run: {settings.optimisation.epochs} epochs of {hours:g} h, {heard:.0f} h heard, "
        f"{operations:.2g} operations\n"
        f"  one core of this processor: {alone:.0f} h"
    )
    for name, peak in GPUS.items():
        low, high = (operations / peak / share / 3600 for share in reversed(SUSTAINED))
        print(
            f"  ESTIMATE, one {name} at {SUSTAINED[1]:.0%} to {SUSTAINED[0]:.0%} of its peak: "
            f"{low:.1f} to {high:.1f} h"
        )


def _peak() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


if __name__ == "__main__":
    try:
        typer.run(main)
    except PlainspeechError as error:
        sys.exit(f"error: {error}")
