"""Speech to text with a small CRNN and CTC: train, evaluate and transcribe.

import plainspeech

model = plainspeech.load_model()
print(model.transcribe("recording.wav").text)
"""

from importlib import metadata as _metadata

from plainspeech.decoding.decoder import BeamSearchDecoder
from plainspeech.errors import PlainspeechError
from plainspeech.runtime.recognizer import Recognizer, load_model
from plainspeech.transcript import Segment, Transcript, Word

try:
    __version__ = _metadata.version("plainspeech")
except _metadata.PackageNotFoundError:
    __version__ = "unknown"  # a source tree on the path, not installed

__all__ = [
    "BeamSearchDecoder",
    "PlainspeechError",
    "Recognizer",
    "Segment",
    "Transcript",
    "Word",
    "__version__",
    "load_model",
]
