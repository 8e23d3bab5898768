"""The ONNX network of a bundle: for whole utterances, or for windows of a stream.

The inputs of every network are ``features``, float32 ``(batch, frames, bins)``, padded with any
values, and ``lengths``, int64 ``(batch,)``. Its outputs are ``log_probabilities``, float32
``(batch, output frames, symbols)``, natural logarithms with the blank last, and ``output_lengths``,
int64 ``(batch,)``. A network that hears phones has those over them in further columns: the boundary
of words, the phones, and a blank of their own. Padding does not influence the output, nor do the
utterances of a batch influence each other in float32; in int8 they do, so that a batch is one
utterance.

Where the bundle has several frequency warps, the network is run once for each, and its output is
the mean (`plainspeech.runtime.frequency_warps`).

The network for streaming is *windowed*: its number of frames is fixed, those of a chunk and of the
look-ahead after it, and its output is that of the chunk. Its further inputs are a state, zeros at
the start, and its further outputs, in the same order, the state for the window that begins a chunk
later.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from plainspeech.arrays import Array
from plainspeech.errors import ModelError
from plainspeech.runtime.bundle import Bundle
from plainspeech.runtime.devices import device_in_use, providers
from plainspeech.runtime.frequency_warps import UNWARPED, FrequencyWarps
from plainspeech.runtime.onnx_file import check_onnx

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Lengths = npt.NDArray[np.int64]
State = list[npt.NDArray[Any]]

_INPUTS = ["features", "lengths"]
_OUTPUTS = ["log_probabilities", "output_lengths"]
_LARGEST_WINDOW = 10_000  # frames; english-small's has 84
_LARGEST_STATE = 1 << 24  # numbers
_SHOWN = 300  # characters of what onnxruntime says


class Network(Protocol):
    """Computes log-probabilities."""

    def run(self, features: Sequence[Array]) -> list[Array]:
        """Return ``(output frames, symbols)`` for each of ``features``, ``(frames, bins)``.

        Args:
            features: of whole utterances, at least one frame each.
        """


class WholeNetwork:
    """A network for whole utterances.

    Args:
        session: of the network.
        device: where it runs.
        warps: of the features.
        sizes: of the distributions that lie side by side in the log-probabilities, for their mean
            over ``warps``.

    Attributes:
        device: where it runs.
    """

    def __init__(
        self,
        session: InferenceSession,
        device: str = "cpu",
        warps: FrequencyWarps = UNWARPED,
        sizes: Sequence[int] = (),
    ) -> None:
        self._session = session
        self._warps = warps
        self._sizes = sizes
        self.device = device

    def run(self, features: Sequence[Array]) -> list[Array]:
        """Return ``(output frames, symbols)`` for each of ``features``, ``(frames, bins)``."""
        padded, lengths = _pad(features, max(map(len, features)))
        found = [
            _computed(self._session, _OUTPUTS, {"features": warped, "lengths": lengths})
            for warped in self._warps.warped(padded)
        ]
        outputs = self._warps.mean([rows for rows, _ in found], self._sizes)
        output_lengths = found[0][1]
        # Copies: views would keep the whole batch.
        return [rows[:n].copy() for rows, n in zip(outputs, output_lengths.tolist(), strict=True)]


class WindowedNetwork:
    """A network that takes a window at a time, for streaming.

    Args:
        session: of the network.
        subsampling: features for each output frame.
        device: where it runs.
        warps: of the features.
        sizes: as for `WholeNetwork`.

    Attributes:
        device: where it runs.
        chunk: features by which windows advance.
        window: features of a window, its look-ahead included.
    """

    def __init__(
        self,
        session: InferenceSession,
        subsampling: int,
        device: str = "cpu",
        warps: FrequencyWarps = UNWARPED,
        sizes: Sequence[int] = (),
    ) -> None:
        self._session = session
        self._warps = warps
        self._sizes = sizes
        self.device = device
        inputs, outputs = session.get_inputs(), session.get_outputs()
        self._names = [node.name for node in inputs]
        self._states = [(node.shape[1:], node.type) for node in inputs[len(_INPUTS) :]]
        self.window = int(inputs[0].shape[1])
        self.chunk = int(outputs[0].shape[1]) * subsampling

    def start(self, batch: int) -> State:
        """Return the state at the start of ``batch`` utterances, for each warp after another."""
        return [
            np.zeros((batch, *shape), np.float32)
            for _ in self._warps.factors
            for shape, _ in self._states
        ]

    def step(self, features: Array, lengths: Lengths, state: State) -> tuple[Array, Lengths, State]:
        """Compute one window.

        Args:
            features: ``(batch, window, bins)``.
            lengths: ``(batch,)``, how many of them are valid; fewer where the audio ends.
            state: from before the window.

        Returns:
            Log-probabilities ``(batch, output frames, symbols)``, how many of these frames there
            are, and the state after the chunk.
        """
        found = []
        after: State = []
        size = len(self._states)
        for place, warped in enumerate(self._warps.warped(features)):
            before = state[place * size : (place + 1) * size]
            inputs = dict(zip(self._names, (warped, lengths, *before), strict=True))
            outputs, output_lengths, *later = _computed(self._session, None, inputs)
            found.append(outputs)
            after += later
        return self._warps.mean(found, self._sizes), output_lengths, after

    def run(self, features: Sequence[Array]) -> list[Array]:
        """Return ``(output frames, symbols)`` for each of ``features``, ``(frames, bins)``."""
        windows = -(-max(map(len, features)) // self.chunk)
        padded, lengths = _pad(features, (windows - 1) * self.chunk + self.window)
        state = self.start(len(features))
        parts: list[list[Array]] = [[] for _ in features]
        for start in range(0, windows * self.chunk, self.chunk):
            there = np.clip(lengths - start, 0, self.window)
            window = padded[:, start : start + self.window]
            outputs, output_lengths, state = self.step(window, there, state)
            for rows, part, length in zip(outputs, parts, output_lengths.tolist(), strict=True):
                part.append(rows[:length])
        return [np.concatenate(part) for part in parts]


def _computed(
    session: InferenceSession, names: list[str] | None, inputs: dict[str, npt.NDArray[Any]]
) -> list[npt.NDArray[Any]]:
    """Return the outputs of a network.

    Raises:
        ModelError: it fails, or they are not such as this module describes.
    """
    try:
        found: list[npt.NDArray[Any]] = session.run(names, inputs)
    except Exception as error:  # of classes that onnxruntime does not export
        reason = " ".join(str(error).split())[:_SHOWN]
        raise ModelError(f"the model's network fails: {reason}") from error
    rows, lengths = found[:2]
    batch = len(inputs["lengths"])
    if (
        rows.dtype != np.float32
        or (rows.ndim, len(rows)) != (3, batch)
        or lengths.dtype != np.int64
        or lengths.shape != (batch,)
        or not ((lengths >= 0) & (lengths <= rows.shape[1])).all()
    ):
        raise ModelError(
            f"the model's network gives {rows.dtype} {rows.shape} and {lengths.dtype} "
            f"{lengths.shape}; it must give log-probabilities (batch, frames, symbols) and how "
            f"many frames there are of each"
        )
    return found


def open_network(bundle: Bundle, device: str = "cpu") -> WholeNetwork | WindowedNetwork:
    """Return the network of ``bundle``, ready to run.

    A run uses one thread; several threads may run it at the same time.

    Args:
        bundle: the model.
        device: of `plainspeech.runtime.devices`; where it cannot be used, the network runs on the
            processor, with a `plainspeech.runtime.devices.DeviceWarning`.

    Raises:
        ModelError: it is not such an ONNX network.
    """
    session = _session(bundle, device)
    _check_contract(bundle, session)
    used = device_in_use(session, device)
    if len(session.get_inputs()) == len(_INPUTS):
        return WholeNetwork(session, used, bundle.frequency_warps, bundle.output_sizes)
    _check_windows(bundle, session)
    return WindowedNetwork(
        session, bundle.subsampling, used, bundle.frequency_warps, bundle.output_sizes
    )


def _pad(features: Sequence[Array], frames: int) -> tuple[Array, Lengths]:
    padded = np.zeros((len(features), frames, features[0].shape[1]), np.float32)
    for place, rows in zip(padded, features, strict=True):
        place[: len(rows)] = rows
    return padded, np.array([len(rows) for rows in features], np.int64)


def _session(bundle: Bundle, device: str) -> InferenceSession:
    # Here, so that the command line starts and `plainspeech.training` imports without it.
    import onnxruntime

    content = bundle.network
    check_onnx(content, str(bundle.origin))
    options = onnxruntime.SessionOptions()
    # One utterance per thread: on two cores that takes 0.85 of the time of runs on both in float32,
    # 0.7 in int8 (docs/decisions/0012).
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # what is fatal comes as an exception too
    try:
        return onnxruntime.InferenceSession(content, options, providers=providers(device))
    except Exception as error:  # of classes that onnxruntime does not export
        reason = str(error).splitlines()[0]
        raise ModelError(f"{bundle.origin}: onnxruntime cannot load its model: {reason}") from error


def _check_contract(bundle: Bundle, session: InferenceSession) -> None:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    names = [node.name for node in inputs], [node.name for node in outputs]
    if (names[0][:2], names[1][:2]) != (_INPUTS, _OUTPUTS) or len(inputs) != len(outputs):
        raise ModelError(
            f"{bundle.origin}: its model has the inputs {names[0]} and the outputs {names[1]}; "
            f"they must begin with {_INPUTS} and {_OUTPUTS}, with as many states after both"
        )
    for node, size in ((inputs[0], bundle.features.bins), (outputs[0], bundle.outputs)):
        if len(node.shape) != 3 or node.shape[2] != size:
            raise ModelError(
                f"{bundle.origin}: {node.name} of its model has the shape {node.shape}; "
                f"by its bundle.json the last dimension must be {size}"
            )


def _check_windows(bundle: Bundle, session: InferenceSession) -> None:
    states = session.get_inputs()[len(_INPUTS) :]
    frames = session.get_inputs()[0].shape[1], session.get_outputs()[0].shape[1]
    sizes = [*frames, *(size for node in states for size in node.shape[1:])]
    if not all(isinstance(size, int) for size in sizes):
        raise ModelError(f"{bundle.origin}: its model has states, but no fixed window size")
    window, chunk = frames[0], frames[1] * bundle.subsampling
    if not 0 < chunk <= window <= _LARGEST_WINDOW:
        raise ModelError(
            f"{bundle.origin}: its model takes windows of {window} frames for chunks of {chunk}; a "
            f"chunk has at least 1, and a window at least those of its chunk, at most "
            f"{_LARGEST_WINDOW:,}"
        )
    if any(not 0 < math.prod(node.shape[1:]) <= _LARGEST_STATE for node in states):
        raise ModelError(f"{bundle.origin}: a state of its model has more numbers than can be")
    if any(node.type != "tensor(float)" for node in states):
        raise ModelError(f"{bundle.origin}: the states of its model must be float32")
