"""A model small enough to write down: it reads tones as letters."""

from __future__ import annotations

import hashlib
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.internal.conjecture import providers
from onnx import TensorProto, helper, numpy_helper

from plainspeech import cli
from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.arrays import Array
from plainspeech.features import FeatureSettings
from plainspeech.runtime.bundle import Bundle

# numba keeps machine code until the file of the outermost function changes; tests must not run code
# of before an edit of another one. Set before anything imports numba.
_PACKAGE = Path(__file__).parents[1] / "src" / "plainspeech"
_SOURCES = sorted(
    path for part in ("alignment", "decoding", "lm") for path in (_PACKAGE / part).rglob("*.py")
)
_DIGEST = hashlib.sha256(b"".join(path.read_bytes() for path in _SOURCES)).hexdigest()
os.environ["XDG_CACHE_HOME"] = f"{tempfile.gettempdir()}/plainspeech-cache-{_DIGEST[:16]}"
os.environ["NUMBA_CACHE_DIR"] = f"{tempfile.gettempdir()}/plainspeech-machine-code-{_DIGEST[:16]}"

# Of several OpenMP threads each waits for the others, and spins: on a busy machine a test of the
# training then takes ten times as long. Set before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The gate is repeatable: the examples of a property follow from the test's own source, and nothing
# is remembered between runs. Machines are busy at times: how long an example takes says nothing of
# whether it holds.
settings.register_profile(
    "plainspeech",
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# `pytest -m hypothesis --hypothesis-profile=explore` looks for what these examples miss: others at
# each run, and EXPLORED times as many. What failed is kept in .hypothesis, and tried first again.
settings.register_profile(
    "explore",
    settings.get_profile("plainspeech"),
    derandomize=False,
    database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
)
settings.load_profile("plainspeech")
EXPLORED = 20


@pytest.hookimpl(trylast=True)  # after --hypothesis-profile has been obeyed
def pytest_configure() -> None:
    """Leave out of Hypothesis's examples the constants that it collects from loaded modules.

    Which modules are loaded differs with the tests that ran before, and so would the examples.
    """
    if settings().derandomize:
        providers._get_local_constants = lambda: providers._local_constants


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a test explore in proportion to its own ``max_examples``, which overrides a profile's."""
    if settings().derandomize:
        return
    tests = {item.obj for item in items if isinstance(item, pytest.Function)}
    for test in filter(is_hypothesis_test, tests):
        own = test._hypothesis_internal_use_settings
        test._hypothesis_internal_use_settings = settings(
            own, max_examples=EXPLORED * own.max_examples
        )


TONE_SECONDS = 0.12
PAUSE_SECONDS = 0.06
STRIDE = 3
CHUNK, WINDOW = 24, 30  # features, of the tone model that streams: 240 and 300 ms
FEATURES = FeatureSettings(normalise="none")


def speak(text: str, rate: int = 16_000, alphabet: Alphabet = ENGLISH) -> Array:
    """Return a tone for each character of ``text``, each followed by a pause."""
    low, high = (float(np.log1p(hz / 700)) for hz in (FEATURES.low_hz, FEATURES.high_hz))
    centres = 700 * np.expm1(np.linspace(low, high, FEATURES.bins + 2)[1:-1])
    time = np.arange(round(TONE_SECONDS * rate)) / rate
    pause = np.zeros(round(PAUSE_SECONDS * rate))
    tones = [np.sin(2 * np.pi * centres[_bin(alphabet.encode(c)[0])] * time) for c in text]
    parts = [part for tone in tones for part in (0.5 * tone, pause)]
    return np.concatenate(parts or [np.zeros(0)]).astype(np.float32)


def _bin(symbol: int) -> int:
    """Return the mel filter whose centre is the tone of ``symbol``."""
    return 12 + 2 * symbol


def tone_model(windows: bool = False, alphabet: Alphabet = ENGLISH) -> bytes:
    """Return ONNX that takes every third frame and picks the loudest of the symbols' filters.

    Args:
        windows: whether it is for streaming; it has a state then, which it has no use for.
        alphabet: of its outputs, 33 symbols at most: each has two of the mel filters.
    """
    weights = np.zeros((FEATURES.bins, alphabet.size), np.float32)
    for symbol in range(len(alphabet.symbols)):
        weights[_bin(symbol), symbol] = 1.0  # the blank stays at zero: pauses lie below
    frames, outputs = (WINDOW, CHUNK // STRIDE) if windows else ("t", "u")
    most = CHUNK if windows else np.iinfo(np.int64).max
    constants: dict[str, npt.NDArray[Any]] = {
        "weights": weights,
        "first": np.array([0], np.int64),
        "last": np.array([most], np.int64),
        "frame_axis": np.array([1], np.int64),
        "stride": np.array([STRIDE], np.int64),
        "rounding": np.array([STRIDE - 1], np.int64),
    }
    nodes = [
        helper.make_node("Slice", ["features", "first", "last", "frame_axis", "stride"], ["x"]),
        helper.make_node("MatMul", ["x", "weights"], ["scores"]),
        helper.make_node("LogSoftmax", ["scores"], ["log_probabilities"], axis=2),
        helper.make_node("Min", ["lengths", "last"], ["own"]),
        helper.make_node("Add", ["own", "rounding"], ["more"]),
        helper.make_node("Div", ["more", "stride"], ["output_lengths"]),
    ]
    inputs = [
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["b", frames, 80]),
        helper.make_tensor_value_info("lengths", TensorProto.INT64, ["b"]),
    ]
    results = [
        helper.make_tensor_value_info(
            "log_probabilities", TensorProto.FLOAT, ["b", outputs, alphabet.size]
        ),
        helper.make_tensor_value_info("output_lengths", TensorProto.INT64, ["b"]),
    ]
    if windows:
        nodes.append(helper.make_node("Identity", ["state"], ["state_after"]))
        inputs.append(helper.make_tensor_value_info("state", TensorProto.FLOAT, ["b", 1]))
        results.append(helper.make_tensor_value_info("state_after", TensorProto.FLOAT, ["b", 1]))
    values = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tones", inputs, results, values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


Plainspeech = Callable[..., tuple[int, str]]
"""Runs the command line; see the fixture `plainspeech`."""


@pytest.fixture
def private(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], str]:
    """Make a folder that cannot be read, by root neither; return what is said of it."""
    scandir = os.scandir

    def make(folder: Path) -> str:
        folder.mkdir()

        def refuse(path: str) -> Any:
            if os.fspath(path) == str(folder):
                raise PermissionError(13, "Permission denied", str(folder))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)
        return f"{folder}: the folder cannot be read: Permission denied"

    return make


@pytest.fixture
def plainspeech(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Plainspeech:
    """Run the command line; return its exit status and what it wrote to stderr."""

    def run(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["plainspeech", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return int(caught.value.code or 0), capsys.readouterr().err

    return run


@pytest.fixture(scope="session")
def make_tone_bundle() -> Callable[..., Path]:
    """Write a bundle that reads what `spoken` says, to the given folder."""

    def make(
        folder: Path,
        windows: bool = False,
        alphabet: Alphabet = ENGLISH,
        language: str | None = None,
    ) -> Path:
        card = {"name": "tones", "licence": "CC0", "hours": 0}
        if language is not None:
            card["language"] = language
        seconds = STRIDE * FEATURES.hop_ms / 1000
        networks = {"float32": tone_model(windows, alphabet)}
        Bundle(folder, alphabet, FEATURES, seconds, card, networks).write(folder)
        return folder

    return make


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """A test draws the same from the global generators whichever ran before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def _tones_are_speech(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silero's detector hears no speech in tones: tests that speak in them have one that does."""
    if {"spoken", "make_tone_bundle"}.isdisjoint(request.fixturenames):
        return
    monkeypatch.setattr(
        "plainspeech.runtime.vad.silero_detector",
        lambda: lambda windows: np.asarray(np.abs(windows).max(axis=1) > 0.01, np.float32),
    )


@pytest.fixture(scope="session")
def tone_bundle(
    make_tone_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A bundle that reads what `spoken` says; for tests that leave it as it is."""
    return make_tone_bundle(tmp_path_factory.mktemp("bundles") / "tones")


@pytest.fixture(scope="session")
def streaming_tone_bundle(
    make_tone_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same, of a model that streams."""
    return make_tone_bundle(tmp_path_factory.mktemp("bundles") / "streaming", windows=True)


@pytest.fixture(scope="session")
def spoken() -> Callable[..., Array]:
    """``spoken(text, rate, alphabet)``: a waveform that the tone model reads as ``text``."""
    return speak


@pytest.fixture(scope="module")
def tiny_preset() -> Iterator[None]:
    """The presets of ``tests/training/tiny.py``, for recipes to name."""
    import tiny

    from plainspeech.model.presets import PRESETS

    PRESETS.update(tiny.LISTED)
    yield
    for name in tiny.LISTED:
        del PRESETS[name]
