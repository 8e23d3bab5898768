"""One recogniser in a process of its own, which is told on standard input what to transcribe.

Runs under any Python from 3.10 on that has numpy and the recogniser; `speed.py` starts it. With
``once`` and the path of a recording it hears that alone, prints the text and ends: the least that a
program with the recogniser has to do.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np

from benchmarks.processes import answer, peak_bytes

RATE = 16_000
CUBE, PRODUCTS = 2048, 4
"""Side of the large matrices, and how many products of them make a round."""

FLOAT = 1  # as ONNX numbers its types

TITLES = {"mr.": "mister", "mr": "mister", "mrs.": "missus", "mrs": "missus", "dr.": "doctor"}
"""What pocketsphinx writes, and how LibriSpeech's transcripts have it."""


class Stopwatch:
    """Adds up the seconds that its blocks take: by the wall, and of this process on a processor."""

    def __init__(self) -> None:
        self.wall = self.processor = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter() - self._start[0]
        self.processor += time.process_time() - self._start[1]


class System:
    """What hears.

    Attributes:
        packages: distributions that do the work.
        sizes: bytes, of the network and of the language model.
        parts: seconds of each part of the work, where they are measured.
        together: whether it takes all utterances at once.
    """

    packages: tuple[str, ...] = ()
    together = False

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.parts: dict[str, Stopwatch] = defaultdict(Stopwatch)

    def hear(self, waveforms: list[Any]) -> list[str]:
        """Return the text of each waveform, float32 at `RATE`."""
        raise NotImplementedError


class Plainspeech(System):
    """This package, as its users call it, with a stopwatch in each of its parts on one core."""

    packages = ("plainspeech", "onnxruntime", "numba")

    def __init__(
        self,
        threads: int,
        model: str,
        precision: Literal["int8", "float32"],
        decoder: Literal["greedy", "beam"],
        together: bool,
        search: dict[str, Any] | None = None,
    ) -> None:
        from plainspeech import load_model

        super().__init__()
        self.together = together
        inside: Any = load_model(model, threads=threads, decoder=decoder, precision=precision)
        if search:
            inside.decoder = inside.decoder.with_settings(**search)
        if threads == 1:  # several would do several parts at a time
            inside._log_mel = self._timed("features", inside._log_mel)
            inside._network.run = self._timed("network", inside._network.run)
            decode = self._timed("decoding", inside.decoder.decode_batch)
            inside.decoder = SimpleNamespace(decode_batch=decode)
        self._recognizer = inside
        self.sizes = {"network": len(inside.bundle.network)}
        if decoder == "beam":
            self.sizes["language model"] = sum(map(len, inside.bundle.scorer_files.values()))

    def hear(self, waveforms: list[Any]) -> list[str]:
        """Return the text of each waveform."""
        return [found.text for found in self._recognizer.transcribe_waveforms(waveforms)]

    def _timed(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any) -> Any:
            with self.parts[part]:
                return work(*given)

        return timed


class Live(System):
    """This package with its streaming network and default search, as if somebody spoke.

    Search for speech is part of it.
    """

    packages = ("plainspeech", "onnxruntime", "numba")

    def __init__(self, threads: int, model: str) -> None:
        from plainspeech import load_model
        from plainspeech.runtime.live import LiveModel

        super().__init__()
        self._live = LiveModel(load_model(model, threads=threads))
        self.sizes = {"network": len(self._live.bundle.network)}

    def hear(self, waveforms: list[Any]) -> list[str]:
        """Return the text of one waveform, which comes in tenths of a second."""
        speaker = self._live.begin()
        blocks = np.split(waveforms[0], range(RATE // 10, len(waveforms[0]), RATE // 10))
        events = [event for block in blocks for event in speaker.feed(block)]
        events += speaker.finish()
        return [" ".join(event.text for event in events if type(event).__name__ == "FinalResult")]


class PyTorch(System):
    """The same network in PyTorch, as it is, between this package's features and greedy decoder."""

    packages = ("torch",)

    def __init__(self, threads: int, checkpoint: str) -> None:
        import torch

        from plainspeech.alphabet import ENGLISH
        from plainspeech.decoding.greedy import GreedyDecoder
        from plainspeech.features import LogMel
        from plainspeech.model.presets import preset
        from plainspeech.training.checkpoint import Checkpoint

        super().__init__()
        torch.set_num_threads(threads)
        read = Checkpoint.load(Path(checkpoint))
        chosen = preset(read.run["recipe"]["preset"])
        self._torch, self._model = torch, chosen.build(ENGLISH.size).eval()
        read.give_average(self._model, Path(checkpoint))
        self._log_mel = LogMel(chosen.features)
        self._decoder = GreedyDecoder(ENGLISH, chosen.frame_seconds)
        weights = self._model.parameters()
        self.sizes = {"network": sum(weight.numel() * weight.element_size() for weight in weights)}

    def hear(self, waveforms: list[Any]) -> list[str]:
        """Return the text of one waveform."""
        torch = self._torch
        with self.parts["features"]:
            features = self._log_mel(waveforms[0])
        with self.parts["network"], torch.inference_mode():
            rows, _ = self._model(torch.from_numpy(features)[None], torch.tensor([len(features)]))
        with self.parts["decoding"]:
            return [self._decoder.decode(rows[0].numpy()).text]


class Pocketsphinx(System):
    """pocketsphinx with the English models that it brings and the settings that it has."""

    packages = ("pocketsphinx",)

    def __init__(self, threads: int) -> None:
        del threads  # it has one
        library = import_module("pocketsphinx")
        super().__init__()
        self._decoder = library.Decoder()
        config = self._decoder.config
        self.sizes = {
            "network": _bytes_of(config["hmm"]),
            "language model": _bytes_of(config["lm"]) + _bytes_of(config["dict"]),
        }

    def hear(self, waveforms: list[Any]) -> list[str]:
        """Return the text of one waveform."""
        samples = np.clip(np.rint(waveforms[0] * 32768), -32768, 32767).astype(np.int16)
        self._decoder.start_utt()
        self._decoder.process_raw(samples.tobytes(), full_utt=True)
        self._decoder.end_utt()
        best = self._decoder.hyp()  # without fillers and the numbers of pronunciations
        words = best.hypstr.split() if best else []
        return [" ".join(TITLES.get(word, word) for word in words)]


class Matrices(System):
    """Hears nothing, but multiplies large float32 matrices by all the libraries there are here."""

    packages = ("numpy", "torch", "onnxruntime")
    together = True  # so a round is one call

    def __init__(self, threads: int) -> None:
        import torch

        super().__init__()
        torch.set_num_threads(threads)
        random = np.random.default_rng(1)
        a, b = (random.standard_normal((CUBE, CUBE), np.float32) for _ in range(2))
        first, second = torch.from_numpy(a), torch.from_numpy(b)
        session = _multiplying_session(threads)
        self._products: dict[str, Callable[[], Any]] = {
            "numpy": lambda: a @ b,
            "torch": lambda: first @ second,
            "onnxruntime": lambda: session.run(None, {"a": a, "b": b}),
        }

    def hear(self, waveforms: list[Any]) -> list[str]:
        """Return nothing."""
        del waveforms
        for name, product in self._products.items():
            product()
            with self.parts[name]:
                for _ in range(PRODUCTS):
                    product()
        return []


def _multiplying_session(threads: int) -> Any:
    """Return an onnxruntime session that multiplies ``a`` by ``b``."""
    import onnxruntime

    helper: Any = import_module("onnx.helper")
    values = [helper.make_tensor_value_info(name, FLOAT, (CUBE, CUBE)) for name in "abc"]
    node = helper.make_node("MatMul", ["a", "b"], ["c"])
    graph = helper.make_graph([node], "product", values[:2], values[2:])
    opset = helper.make_opsetid("", 18)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=10).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _bytes_of(path: str) -> int:
    """Return the size of a file, or of all files in a folder."""
    found = Path(path)
    files = found.rglob("*") if found.is_dir() else [found]
    return sum(file.stat().st_size for file in files if file.is_file())


SYSTEMS: dict[str, Callable[..., System]] = {
    "plainspeech": Plainspeech,
    "live": Live,
    "pytorch": PyTorch,
    "pocketsphinx": Pocketsphinx,
    "matrices": Matrices,
}


class Recordings:
    """Waveforms in one file, which are read when they are heard.

    So the peak memory of a process is that of its system, not of the corpus.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "samples.float32"
        self._ends = np.load(folder / "ends.npy")

    def read(self, place: int) -> Any:
        """Return the waveform at ``place``."""
        start = int(self._ends[place - 1]) if place else 0
        count = int(self._ends[place]) - start
        return np.fromfile(self._path, np.float32, count, offset=4 * start)


def main() -> None:
    """Answer questions until there are no more."""
    task, name, options, path = sys.argv[1:]
    system = SYSTEMS[name](**json.loads(options))
    if task == "once":
        import soundfile

        print(*system.hear([soundfile.read(path, dtype="float32")[0]]), flush=True)
        return
    recordings = Recordings(Path(path))
    system.hear([recordings.read(0)])
    versions = {package: metadata.version(package) for package in system.packages}
    answer({"sizes": system.sizes, "versions": versions})
    for line in sys.stdin:
        answer(_heard(system, recordings, json.loads(line)))


def _heard(system: System, recordings: Recordings, places: list[int]) -> dict[str, Any]:
    """Hear the recordings at ``places``; return what and how long it took."""
    total, texts = Stopwatch(), []
    system.parts.clear()
    for group in [places] if system.together else [[place] for place in places]:
        waveforms = [recordings.read(place) for place in group]
        with total:
            texts += system.hear(waveforms)
    parts = {name: [watch.wall, watch.processor] for name, watch in system.parts.items()}
    spent = [total.wall, total.processor]
    return {"texts": texts, "total": spent, "parts": parts, "peak": peak_bytes()}


if __name__ == "__main__":
    main()
