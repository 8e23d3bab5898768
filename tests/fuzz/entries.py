"""The ways into the package from which strangers' input comes, and where their cases are made."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A way in.

    Attributes:
        module: whose ``CASES`` has it: a function that takes a folder and returns what runs the
            case of a draw.
        bounds_checked: whether compiled code checks every index.
        slice: cases that the gate runs.
    """

    module: str
    bounds_checked: bool = False
    slice: int = 200


ENTRIES = {
    "audio": Entry("audio_cases", slice=150),
    "manifest": Entry("text_cases", slice=500),
    "recipe": Entry("text_cases", slice=500),
    "bundle": Entry("artifact_cases", slice=150),
    "scorer": Entry("lm_cases", bounds_checked=True),
    "ARPA": Entry("lm_cases", bounds_checked=True),
    "KenLM binary": Entry("lm_cases", slice=400),
    "ONNX": Entry("artifact_cases"),
    "checkpoint": Entry("checkpoint_cases"),
    "caches": Entry("cache_cases", slice=300),
    "hot words": Entry("text_cases", slice=300),
    "log-probabilities": Entry("search_cases", bounds_checked=True, slice=300),
    "HTTP": Entry("server_cases"),
    "WebSocket": Entry("server_cases"),
}
