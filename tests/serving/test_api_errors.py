"""Every kind of error has its own status and code, and only clients' own errors are explained."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers import Blocked, Speak, running, wav

from plainspeech import errors
from plainspeech.errors import PlainspeechError
from plainspeech.serving.api_errors import api_error

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, PlainspeechError)
]


@pytest.mark.parametrize(
    ("kind", "status", "code", "param"),
    [
        (errors.AudioError, 400, "invalid_audio", "file"),
        (errors.DecodingError, 400, "invalid_hot_words", "hot_words"),
        (errors.ModelError, 500, "model_error", None),
        (errors.LanguageModelError, 500, "model_error", None),
        (errors.ConfigurationError, 500, "configuration_error", None),
        (errors.DataError, 500, "internal_error", None),
        (errors.PlainspeechError, 500, "internal_error", None),
    ],
)
def test_status_and_code(
    kind: type[PlainspeechError], status: int, code: str, param: str | None
) -> None:
    error = api_error(kind("/srv/secret: what is wrong"))
    assert (error.status_code, error.code, error.param) == (status, code, param)
    assert ("/srv/secret" in error.detail) == (status < 500)
    assert error.detail.endswith(".")


def test_no_kind_is_forgotten() -> None:
    assert {kind.__name__ for kind in KINDS} == {
        "PlainspeechError",
        "AudioError",
        "DataError",
        "ModelError",
        "LanguageModelError",
        "DecodingError",
        "ConfigurationError",
    }


@pytest.mark.parametrize(
    ("kind", "status"), [(errors.DecodingError, 400), (errors.ModelError, 500)]
)
def test_an_error_of_the_decoder_is_not_the_recording_s(
    tone_bundle: Path, spoken: Speak, kind: type[PlainspeechError], status: int
) -> None:
    model = Blocked(tone_bundle)
    model.error = kind("the decoder cannot")
    with running(model) as server:
        response = server.transcribe(wav(spoken("good deed")))
        assert response.status_code == status
        assert response.json()["error"]["code"] != "invalid_audio"
        assert server.is_at_rest()
