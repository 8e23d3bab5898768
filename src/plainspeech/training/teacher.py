"""The teacher of knowledge distillation: a trained model whose outputs another learns from."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from plainspeech.alphabet import Alphabet
from plainspeech.errors import ConfigurationError
from plainspeech.model.filter_bank import FilterBank
from plainspeech.model.padding import to_device
from plainspeech.model.presets import Preset
from plainspeech.runtime.bundle import Bundle
from plainspeech.runtime.network import open_network


class Teacher:
    """The network of a bundle, in float32, as the source of distillation.

    It may be of any architecture with the student's frame rate and alphabet, and it has its
    own features and frequency warps. Over phones it teaches a student of the same phones alone.
    It runs on the CPU, whatever the student's device.

    Args:
        path: of the bundle, or a name that bundles have.
        preset: of the student.
        alphabet: of the student.
        device: of the student.
        phones: of the student; empty for one of letters alone.

    Raises:
        ConfigurationError: its frames or symbols are not the student's.
        ModelError: it is no bundle.
    """

    def __init__(
        self,
        path: Path,
        preset: Preset,
        alphabet: Alphabet,
        device: torch.device,
        phones: tuple[str, ...] = (),
    ) -> None:
        bundle = Bundle.load(path).in_precision("float32")
        if bundle.alphabet != alphabet:
            raise ConfigurationError(f"teacher: {path} writes another alphabet")
        if bundle.frame_seconds != preset.frame_seconds:
            raise ConfigurationError(
                f"teacher: {path} has a frame every {bundle.frame_seconds:g} s, the "
                f"preset every {preset.frame_seconds:g} s; they must be the same"
            )
        self._network = open_network(bundle)
        # What both write, of all that the teacher writes side by side.
        self._sizes = list(bundle.output_sizes[: 2 if phones and bundle.phones == phones else 1])
        self._bank = FilterBank(bundle.features).to(device)

    @torch.no_grad()
    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Return log-probabilities, ``(batch, output frames, symbols)``, zero in the padding.

        They are those over letters and, if it teaches them, those over phones.

        Args:
            waveforms: ``(batch, samples)`` float32.
            lengths: ``(batch,)`` int64, samples of each, on the CPU.
        """
        features, frames = self._bank(waveforms, lengths)
        given = zip(features.cpu().numpy(), frames.tolist(), strict=True)
        outputs = [torch.from_numpy(self._network.run([rows[:n]])[0]) for rows, n in given]
        padded = to_device(pad_sequence(outputs, batch_first=True), waveforms.device)
        return torch.split(padded[:, :, : sum(self._sizes)], self._sizes, dim=2)
