"""Figures on a model's card come from an evaluation of that very model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from typer.testing import CliRunner

from plainspeech import cli
from plainspeech.data.manifest import Utterance, write_manifest
from plainspeech.errors import DataError
from plainspeech.evaluation.report import record_result
from plainspeech.runtime.bundle import Bundle

Speak = Callable[..., npt.NDArray[np.float32]]


@pytest.fixture
def bundle(tmp_path: Path, make_tone_bundle: Callable[[Path], Path]) -> Path:
    return make_tone_bundle(tmp_path / "tones")


@pytest.fixture
def results(tmp_path: Path, bundle: Path, spoken: Speak) -> Path:
    """An evaluation of the tone model, which hears "bad" where "bat" stands."""
    utterances = []
    for index, (said, told) in enumerate([("go on", "go on"), ("bad", "bat")]):
        audio = tmp_path / f"{index}.wav"
        soundfile.write(audio, spoken(said), 16_000, subtype="FLOAT")
        utterances.append(Utterance(str(index), audio, told, soundfile.info(audio).duration))
    manifest, path = tmp_path / "dev.jsonl", tmp_path / "results.json"
    write_manifest(manifest, utterances)
    run(["evaluate", str(bundle), str(manifest), "--json", str(path)])
    return path


def run(arguments: list[str]) -> str:
    done = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_figures_of_an_evaluation_are_on_the_card(bundle: Path, results: Path) -> None:
    before = Bundle.load(bundle)
    run(["model", "record", str(bundle), str(results), "--data", "two tunes"])
    after = Bundle.load(bundle)
    (result,) = after.card["results"]
    assert (result["data"], result["decoder"], result["words"]) == ("two tunes", "greedy", 3)
    assert result["wer"] == pytest.approx(1 / 3)
    assert result["cer"] == pytest.approx(1 / 8)
    assert result["wer_interval"][0] <= 1 / 3 <= result["wer_interval"][1]
    assert after.networks == before.networks
    assert {key: after.card[key] for key in before.card} == before.card
    assert json.loads(run(["model", "card", str(bundle), "--json"])) == after.card


def test_a_newer_result_on_the_same_data_takes_the_place_of_the_older(
    bundle: Path, results: Path
) -> None:
    for data in ("dev", "other", "dev"):
        record_result(bundle, results, data)
    assert [r["data"] for r in Bundle.load(bundle).card["results"]] == ["other", "dev"]


@pytest.mark.parametrize("written", ["none yet", [{"wer": 0.1}, "about 10 %"]])
def test_results_that_a_person_wrote_on_a_card_are_no_obstacle(
    bundle: Path, results: Path, written: Any
) -> None:
    loaded = Bundle.load(bundle)
    replace(loaded, card={**loaded.card, "results": written}).write(bundle)
    record_result(bundle, results, "dev")
    card = Bundle.load(bundle).card
    assert [r.get("data") for r in card["results"]] in (["dev"], [None, "dev"])


def test_results_of_another_model_are_refused(bundle: Path, results: Path) -> None:
    found = json.loads(results.read_text())
    found["model"]["name"] = "another"
    results.write_text(json.dumps(found))
    content = (bundle / "bundle.json").read_bytes()
    with pytest.raises(DataError, match=r"results\.json: measures the model 'another'"):
        record_result(bundle, results, "dev")
    assert (bundle / "bundle.json").read_bytes() == content


@pytest.mark.parametrize("content", ["", "[]", "{}", "[" * 100_000, '{"model": {"name": "Tones"}}'])
def test_what_is_no_evaluation_is_refused(tmp_path: Path, bundle: Path, content: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"results\.json"):
        record_result(bundle, path, "dev")


def test_missing_results_are_named(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.json: cannot be read"):
        record_result(bundle, tmp_path / "nothing.json", "dev")
