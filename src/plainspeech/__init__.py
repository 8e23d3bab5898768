"""Speech to text with a small CRNN and CTC: train, evaluate and transcribe.

    import plainspeech

    model = plainspeech.load_model()
    print(model.transcribe("recording.wav").text)

Public names are imported when they are first used (PEP 562), so that ``import plainspeech`` is
fast; ``__init__.pyi`` declares them for type checkers.
"""

import importlib
import os

# onnxruntime sends usage data and stores a device identifier unless this is set before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_MODULES = {
    "ENGLISH": "alphabet",
    "AlignedSentence": "alignment.aligned_text",
    "AlignedWord": "alignment.aligned_text",
    "Alignment": "alignment.aligned_text",
    "Alphabet": "alphabet",
    "AudioError": "errors",
    "BeamSearchDecoder": "decoding.beam_search",
    "Bundle": "runtime.bundle",
    "ConfigurationError": "errors",
    "DataError": "errors",
    "DecodingError": "errors",
    "Disagreement": "alignment.aligned_text",
    "GreedyDecoder": "decoding.greedy",
    "HotWords": "decoding.hot_words",
    "Hypothesis": "decoding.results",
    "LanguageModelError": "errors",
    "LiveModel": "runtime.live",
    "ModelError": "errors",
    "PlainspeechError": "errors",
    "Recognizer": "runtime.recognizer",
    "Scorer": "lm.scorer",
    "Segment": "transcript",
    "StreamingModel": "runtime.streaming_model",
    "Transcript": "transcript",
    "Word": "transcript",
    "align": "alignment.aligner",
    "load_model": "runtime.recognizer",
}
"""The module of each public name, without the package's."""

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> object:
    if name == "__version__":
        value: object = _version()
    elif name in _MODULES:
        value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib import metadata  # slow to import

    try:
        return metadata.version("plainspeech")
    except metadata.PackageNotFoundError:
        return "unknown"  # a source tree on the path, not installed
