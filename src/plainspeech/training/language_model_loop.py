"""The training of a recurrent language model, and its checkpoints.

By noise-contrastive estimation (A. Mnih and Y. W. Teh, ICML 2012): each word is to be told from
words that are drawn from the unigrams. A batch shares those (B. Zoph et al., Simple, fast
noise-contrastive estimation for large RNN vocabularies, NAACL 2016), so that they cost one product
of matrices; and the model comes out normalised.

Nothing is drawn but by the seed and the place in the run, so that a run that was stopped goes on as
if it had not been.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from plainspeech.errors import ConfigurationError, ModelError
from plainspeech.files import write_atomically
from plainspeech.lm.neural import END, NeuralModel
from plainspeech.training.language_model import HeldOut, RecurrentLanguageModel
from plainspeech.training.language_text import LanguageText
from plainspeech.training.loop import TrainingStopped

FORMAT = 1
_LEAST_RATE = 0.01  # of the highest
_LARGEST_NORM = 1.0  # of the gradient
_CHECKS = 10  # of the held-out text in a run
_WORDS_OF_CHECK = 20_000
_UNREADABLE = (
    *(OSError, SafetensorError, LookupError),
    *(TypeError, ValueError, AttributeError, RuntimeError),
)
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True)
class LanguageModelSettings:
    """How to train.

    Attributes:
        words: that have rows of their own, the most frequent.
        width: of the embeddings.
        hidden: units of the LSTM.
        epochs: passes over the text; 0.5 is half of one.
        seed: of the first weights, the order of the sentences and the noise.
        streams: in which the text is read beside one another.
        span: words of each stream in a batch, through which gradients flow back.
        noise: words of it that a batch shares.
        rate: the highest learning rate.
        warmup: steps up to it; at most a tenth of a run.
    """

    words: int = 20_000
    width: int = 192
    hidden: int = 320
    epochs: float = 1.0
    seed: int = 1
    streams: int = 64
    span: int = 20
    noise: int = 1024
    rate: float = 2e-3
    warmup: int = 500

    def __post_init__(self) -> None:
        for name, least, most in (
            ("words", 1, 1 << 19),
            ("width", 1, 4096),
            ("hidden", 1, 4096),
            ("seed", 0, 1 << 31),
            ("streams", 1, 1 << 16),
            ("span", 1, 1 << 12),
            ("noise", 1, 1 << 20),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigurationError(f"{name} is {value}; it must be from {least} to {most}")
        if not 0 < self.epochs <= 1000:
            raise ConfigurationError(
                f"epochs is {self.epochs:g}; it must be above 0 and at most 1000"
            )


@dataclass(frozen=True)
class LanguageModelReport:
    """What a step did, for whoever shows progress.

    Attributes:
        step: from 1.
        steps: in all.
        words: of the batch, with the ends of sentences.
        loss: nats a word, of the contrast with the noise.
        rate: of learning.
    """

    step: int
    steps: int
    words: int
    loss: float
    rate: float


class LanguageModelTrainer:
    """A run.

    Args:
        text: to learn.
        settings: of the model and the run.
        checkpoint: file that the run is kept in; whoever has kept the model removes it.
        checkpoint_minutes: how often.
    """

    def __init__(
        self,
        text: LanguageText,
        settings: LanguageModelSettings,
        checkpoint: Path,
        checkpoint_minutes: float = 5.0,
    ) -> None:
        self.settings = settings
        self.checkpoint = checkpoint
        self.step = 0
        self.network = RecurrentLanguageModel(
            torch.from_numpy(text.counts), settings.width, settings.hidden, settings.seed
        )
        self._text = text
        self._seconds = 60 * checkpoint_minutes
        self._optimiser = torch.optim.Adam(
            self.network.parameters(), lr=settings.rate, betas=(0.9, 0.98), fused=True
        )
        # A short text is read in fewer streams, so that each has a whole batch.
        self._streams = min(settings.streams, max(1, len(text.rows) // settings.span))
        self._steps_of_epoch = math.ceil(len(text.rows) // self._streams / settings.span)
        self.steps = max(1, round(settings.epochs * self._steps_of_epoch))
        shape = 1, self._streams, settings.hidden
        self._state = torch.zeros(shape), torch.zeros(shape)
        unigrams = text.counts / text.counts.sum()
        self._cumulated = np.cumsum(unigrams)
        self._log_noise = torch.from_numpy(np.log(unigrams * settings.noise)).float()
        self._stopping = False

    @property
    def words_of_step(self) -> int:
        """How many words most steps have, with the ends of sentences."""
        return self._streams * self.settings.span

    def stop(self) -> None:
        """Have `fit` stop after the step under way."""
        self._stopping = True

    def fit(
        self,
        on_step: Callable[[LanguageModelReport], None] = lambda report: None,
        held_out: Sequence[Sequence[int]] = (),
        on_held_out: Callable[[int, HeldOut], None] = lambda step, found: None,
    ) -> NeuralModel:
        """Train to the end and keep a checkpoint meanwhile and of the end.

        Args:
            on_step: gets a report after each.
            held_out: sentences to measure the perplexity of, as `number_sentences` gives them.
            on_held_out: gets the step and what was found: of a part of ``held_out`` a few times in
                a run, and of all of it at its end.

        Raises:
            TrainingStopped: `stop` was called; the checkpoint has all that was done.
            ModelError: the checkpoint cannot be written, or the loss is not finite.
        """
        part = _first_words(held_out, _WORDS_OF_CHECK)
        every = max(1, self.steps // _CHECKS)
        saved = time.monotonic()
        for inputs, targets in self._batches():
            if self._stopping:
                self._stopping = False
                self.save()
                raise TrainingStopped
            if time.monotonic() - saved >= self._seconds:
                self.save()
                saved = time.monotonic()
            on_step(self._take_step(inputs, targets))
            if held_out and self.step % every == 0 and self.step < self.steps:
                on_held_out(self.step, self.network.held_out(part))
        self.save()
        if held_out:
            on_held_out(self.step, self.network.held_out(held_out))
        return self.network.neural_model(self._text.words)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets, ``(streams, words)``, of the steps from the next one on."""
        span = self.settings.span
        epoch, done = divmod(self.step, self._steps_of_epoch)
        while True:
            rows = torch.from_numpy(self._text.shuffled(self.settings.seed, epoch)).long()
            rows = rows[: len(rows) // self._streams * self._streams]
            targets = rows.view(self._streams, -1)
            inputs = functional.pad(rows[:-1], (1, 0), value=END).view(self._streams, -1)
            for start in range(done * span, targets.shape[1], span):
                if self.step == self.steps:
                    return
                if start == 0:
                    self._state = torch.zeros_like(self._state[0]), torch.zeros_like(self._state[1])
                yield inputs[:, start : start + span], targets[:, start : start + span]
            epoch, done = epoch + 1, 0

    def _take_step(self, inputs: Tensor, targets: Tensor) -> LanguageModelReport:
        settings = self.settings
        warmup = min(settings.warmup, self.steps // 10)
        rate = settings.rate * min(1.0, (self.step + 1) / max(1, warmup))
        rate *= max(_LEAST_RATE, 1 - self.step / self.steps)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        loss = self._loss(inputs, targets)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_NORM)
        value = loss.item()
        if not math.isfinite(value):
            raise ModelError(
                f"the loss is not finite after {self.step} steps; begin anew with another --seed"
            )
        self._optimiser.step()
        self.step += 1
        return LanguageModelReport(self.step, self.steps, targets.numel(), value, rate)

    def _loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of a batch, nats a word, and keep the state after it."""
        draw = np.random.default_rng([self.settings.seed, 1, self.step])
        drawn = np.searchsorted(self._cumulated, draw.random(self.settings.noise), side="right")
        noise = torch.from_numpy(drawn.clip(max=len(self._cumulated) - 1))
        wanted = targets.reshape(-1)
        # At once, for each look-up has a gradient of the size of all embeddings.
        vectors = self.network.embeddings[torch.cat([inputs.reshape(-1), wanted, noise])]
        embedded, right, wrong = torch.split(vectors, [len(wanted), len(wanted), len(noise)])
        # A sentence at the beginning of a batch begins as it does when texts are scored.
        goes_on = (inputs[:, 0] != END).float()[None, :, None]
        state = self._state[0] * goes_on, self._state[1] * goes_on
        outputs, state = self.network(embedded.view(*inputs.shape, -1), state)
        self._state = state[0].detach(), state[1].detach()
        outputs = outputs.reshape(len(wanted), -1)
        offsets = self.network.biases - self._log_noise
        of_right = (outputs * right).sum(1) + offsets[wanted]
        of_wrong = outputs @ wrong.T + offsets[noise]
        losses = functional.softplus(-of_right) + functional.softplus(of_wrong).sum(1)
        return losses.mean()

    def save(self) -> None:
        """Write the checkpoint, whole or not at all.

        Raises:
            ModelError: it cannot be written; one that is there stays.
        """
        tensors = {"state.hidden": self._state[0], "state.cell": self._state[1]}
        for name, weight in self.network.named_parameters():
            tensors[f"model.{name}"] = weight.detach()
            moments = self._optimiser.state.get(weight, {})
            tensors |= {f"{each}.{name}": moments[each] for each in moments}
        header = {"format": FORMAT, "step": self.step, "run": self._run()}
        try:
            content = save(
                {name: tensor.contiguous() for name, tensor in tensors.items()},
                {"plainspeech": json.dumps(header)},
            )
            write_atomically(self.checkpoint, content)
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{self.checkpoint}: cannot write the checkpoint: {error}") from error

    def resume(self) -> bool:
        """Go on from the checkpoint, if there is one; return whether there is.

        Raises:
            ModelError: it is damaged.
            ConfigurationError: it is of a run with another text, other words or settings.
        """
        path = self.checkpoint
        if not path.exists():
            return False
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {})["plainspeech"])
                self._refuse_another(header["format"], header["run"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            self._restore(int(header["step"]), tensors)
        except _UNREADABLE as error:
            raise ModelError(
                f"{path}: cannot be read as the checkpoint of a language model; remove it to begin "
                f"anew"
            ) from error
        return True

    def _restore(self, step: int, tensors: dict[str, Tensor]) -> None:
        if not 0 <= step <= self.steps:
            raise ValueError("step")
        state = tensors["state.hidden"], tensors["state.cell"]
        if any(each.shape != self._state[0].shape for each in state):
            raise ValueError("state")
        with torch.no_grad():
            for name, weight in self.network.named_parameters():
                weight.copy_(tensors[f"model.{name}"])
                if step:
                    moments = {each: tensors[f"{each}.{name}"] for each in _MOMENTS}
                    if any(moments[each].shape != weight.shape for each in _MOMENTS[:2]):
                        raise ValueError(name)
                    self._optimiser.state[weight] = moments
        self.step, self._state = step, state

    def _run(self) -> dict[str, Any]:
        return {
            "settings": asdict(self.settings),
            "vocabulary": self._text.vocabulary,
            "text": self._text.digest,
        }

    def _refuse_another(self, version: Any, run: dict[str, Any]) -> None:
        own, changed = self._run(), []
        if version != FORMAT:
            changed = ["another version of plainspeech"]
        else:
            before = run["settings"]
            changed = [
                f"{name} {before.get(name)} instead of {value}"
                for name, value in own["settings"].items()
                if before.get(name) != value
            ]
            for name, what in (("vocabulary", "a scorer of other words"), ("text", "another text")):
                if not changed and run[name] != own[name]:
                    changed = [what]
        if changed:
            raise ConfigurationError(
                f"{self.checkpoint}: was begun with {', '.join(changed)}; give what it was begun "
                f"with to resume it, or remove it to begin anew"
            )


def _first_words(sentences: Sequence[Sequence[int]], words: int) -> list[Sequence[int]]:
    """Return the first sentences, up to about so many words."""
    some: list[Sequence[int]] = []
    for sentence in sentences:
        if words <= 0:
            break
        some.append(sentence)
        words -= len(sentence) + 1
    return some
