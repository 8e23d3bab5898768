"""``plainspeech tune`` with the tone model, whose reading of a slip depends on the settings."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from plainspeech import cli
from plainspeech.cli import terminal
from plainspeech.decoding.calibration import WITHOUT_LANGUAGE_MODEL
from plainspeech.decoding.settings import BeamSettings
from plainspeech.lm.arpa import write_arpa
from plainspeech.lm.build import BuildSettings, build_model
from plainspeech.lm.package import write_kenlm_scorer, write_scorer
from plainspeech.lm.scorer import Scorer
from plainspeech.runtime.bundle import Bundle
from plainspeech.runtime.recognizer import Recognizer, load_model
from plainspeech.tuning import tuner
from plainspeech.tuning.dev_set import DevSet
from plainspeech.tuning.optimisation import THRESHOLD_TRIALS

Speak = Callable[..., npt.NDArray[np.float32]]
Run = Callable[..., int]

SENTENCES = ["a good deed", "a bad bed", "feed a cab"]
SAID = {"a good deed": "a good deed", "feed a cab": "feex a cab", "a bad bed": "a bad bed"}
"""What a speaker means, and what is said."""


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lm")
    (folder / "text").write_text("\n".join(SENTENCES))
    model, source = build_model(
        [folder / "text"], BuildSettings(order=2, prune=(0,), estimator="builtin")
    )
    write_scorer(folder / "scorer", model.vocabulary, model.levels, source, 0.3, 0.7)
    write_arpa(folder / "model.arpa", model.vocabulary, model.levels)
    write_kenlm_scorer(folder / "kenlm", model.vocabulary, folder / "model.arpa", 2, {})
    return folder / "scorer"


@pytest.fixture
def bundle(make_tone_bundle: Callable[[Path], Path], tmp_path: Path) -> Path:
    """The tone model without a scorer, with results on its card."""
    folder = make_tone_bundle(tmp_path / "bundle")
    loaded = Bundle.load(folder)
    results = [{"decoder": name, "data": "dev"} for name in ("greedy", "beam 100, 2-gram")]
    by_hand = {**loaded.card, "results": [*results, {"wer": 0.1}, "about 10 %"]}
    replace(loaded, card=by_hand).write(folder)
    return folder


@pytest.fixture
def manifest(tmp_path: Path, spoken: Speak) -> Path:
    rows = []
    for place, (text, said) in enumerate(SAID.items()):
        soundfile.write(tmp_path / f"{place}.wav", spoken(said), 16_000)
        row = {"id": f"u{place}", "audio": f"{place}.wav", "text": text, "duration": 1.0}
        rows.append(json.dumps(row))
    (tmp_path / "dev.jsonl").write_text("\n".join(rows))
    return tmp_path / "dev.jsonl"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run the command line with a few trials and a cache of the test's own."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def command(*arguments: str | Path) -> int:
        fixed = ["plainspeech", "tune", "--trials", "5", "--cache", str(tmp_path / "cache")]
        monkeypatch.setattr(sys, "argv", [*fixed, *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return int(stop.value.code or 0)

    return command


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_model_gets_a_scorer_and_settings_for_it(
    run: Run,
    bundle: Path,
    manifest: Path,
    scorer: Path,
    spoken: Speak,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert run(bundle, manifest, "--language-model", scorer, "--plot", tmp_path / "s.png") == 0
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    model = load_model(bundle)
    assert model.decoder.description == "beam 100, 2-gram"
    assert model.transcribe(spoken("feex a cab")).text == "feed a cab"
    tuned = Bundle.load(bundle)
    own = tuned.scorer()
    assert own is not None
    assert (own.alpha, own.beta) == (tuned.decoding.alpha, tuned.decoding.beta)
    assert own.words == Scorer.load(scorer).words
    assert model.decoder.settings == tuned.decoding  # type: ignore[attr-defined]
    _check_card(tuned.card)
    output, errors = capsys.readouterr()
    row = r"tuned +beam 100, 2-gram +\d+\.\d\d% +\d+\.\d\d% to \d+\.\d\d% +\d+\.\d\d% +\d+\.\d+"
    assert re.search(row, output)  # nothing of it is left out on a narrow terminal
    rows = {words[0]: words for line in output.splitlines() if (words := line.split())}
    assert rows["alpha"] == ["alpha", str(tuned.decoding.alpha)]
    assert rows["before"][1:3] == ["greedy", "11.11%"]
    assert "untuned" in rows
    assert rows["tuned"][1:5] == ["beam", "100,", "2-gram", "0.00%"]
    assert "WER -11.11 points" in output
    assert "the dev set that was tuned on" in output
    assert f"{bundle}: written" in errors
    assert "more errors" not in errors


def test_a_scorer_that_makes_more_errors_is_told(
    run: Run, bundle: Path, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_text("gag\ngag gag\n")  # no word of the dev set
    manifest.write_text(manifest.read_text().replace("a good deed", "a good deed 1"))
    model, source = build_model([tmp_path / "text"], BuildSettings(order=2, prune=(0,)))
    write_scorer(tmp_path / "lm", model.vocabulary, model.levels, source)
    loaded = Bundle.load(bundle)
    replace(loaded, decoding=BeamSettings(unknown_word_penalty=0.0)).write(bundle)
    assert run(bundle, manifest, "--language-model", tmp_path / "lm", "--dry-run") == 0
    told = " ".join(capsys.readouterr().err.split())
    assert (
        "the tuned settings make more errors on the dev set than the model did before, 100.00% of "
        "the words in place of 11.11%: keep the model as it was, or give another language model"
    ) in told
    assert "dev.jsonl: 1 of 3 texts have characters that the model's alphabet lacks ('1')" in told


def test_confidences_are_fitted_where_there_are_words_enough(
    run: Run, bundle: Path, manifest: Path, scorer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = manifest.read_text().replace("a bad bed", "a cab")  # so some words will be wrong
    manifest.write_text(rows)
    assert run(bundle, manifest, "--language-model", scorer) == 0
    assert Bundle.load(bundle).decoding.calibration is None
    monkeypatch.setattr(tuner, "ENOUGH_WORDS", 2)
    assert run(bundle, manifest) == 0
    fitted = Bundle.load(bundle).decoding.calibration
    assert fitted is not None
    # Seven of nine words are right, and what the search knows of the others is much the same.
    assert 0.5 < fitted.confidences(np.array([[0.9, 1.0, -2.0, 3.0, 2.0, 0.5]]))[0] < 1.0


def _check_card(card: Any) -> None:
    assert card["name"] == "tones"
    # That of the beam search was of other settings.
    assert card["results"] == [{"decoder": "greedy", "data": "dev"}]
    tuning = card["tuning"]
    assert tuning["before"]["wer"] == pytest.approx(1 / 9)
    assert tuning["tuned"]["wer"] == 0.0
    assert tuning["trials"] == {"weights": 5, "thresholds": THRESHOLD_TRIALS}
    assert (tuning["utterances"], tuning["finished"]) == (3, True)
    assert tuning["command"].startswith("plainspeech tune --trials 5")
    assert {"manifest", "date", "hours", "seed"} < tuning.keys()


def test_a_models_own_scorer_is_tuned_anew_from_the_models_settings(
    run: Run, bundle: Path, manifest: Path, scorer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = BeamSettings(
        alpha=0.1,
        unknown_word_penalty=0.5,
        beam_width=70,
        cutoff_top_n=30,
        calibration=WITHOUT_LANGUAGE_MODEL,
    )
    files = {path.name: path.read_bytes() for path in scorer.iterdir()}
    replace(Bundle.load(bundle), decoding=bad, scorer_files=files).write(bundle)
    assert run(bundle, manifest, "--trials", "40") == 0
    tuned = Bundle.load(bundle)
    assert (tuned.decoding.beam_width, tuned.decoding.cutoff_top_n) == (70, 30)
    assert tuned.decoding.unknown_word_penalty > 0.5
    assert tuned.decoding.calibration is None  # that of before was of the search of before
    assert tuned.card["tuning"]["tuned"]["wer"] < tuned.card["tuning"]["before"]["wer"]
    assert "untuned" not in capsys.readouterr().out
    assert run(bundle, manifest, "--beam-width", "90") == 0
    assert Bundle.load(bundle).decoding.beam_width == 90


def test_without_a_terminal_a_line_tells_now_and_then_how_far_it_is(
    run: Run,
    bundle: Path,
    manifest: Path,
    scorer: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(terminal, "_SECONDS_BETWEEN_LINES", 0.0)
    assert run(bundle, manifest, "--language-model", scorer, "--dry-run") == 0
    lines = capsys.readouterr().err.splitlines()
    assert any(re.fullmatch(r"weights: 5 of 5, best WER \d+\.\d\d%", line) for line in lines)
    last = rf"thresholds: {THRESHOLD_TRIALS} of {THRESHOLD_TRIALS}, best WER \d+\.\d\d%"
    assert any(re.fullmatch(last, line) for line in lines)


def test_thresholds_are_left_alone_where_that_is_asked_for(
    run: Run, bundle: Path, manifest: Path, scorer: Path
) -> None:
    before = BeamSettings(beam_threshold=9.5, token_floor=-6.5)
    replace(Bundle.load(bundle), decoding=before).write(bundle)
    assert run(bundle, manifest, "--language-model", scorer, "--no-thresholds") == 0
    tuned = Bundle.load(bundle)
    assert (tuned.decoding.beam_threshold, tuned.decoding.token_floor) == (9.5, -6.5)
    assert tuned.card["tuning"]["trials"]["thresholds"] == 0
    assert tuned.card["tuning"]["finished"]


def test_a_seed_fixes_the_weights(
    run: Run, bundle: Path, manifest: Path, scorer: Path, tmp_path: Path
) -> None:
    found = []
    for seed in ("3", "3", "4"):
        run(bundle, manifest, "--language-model", scorer, "-o", tmp_path / "o", "--seed", seed)
        settings = Bundle.load(tmp_path / "o").decoding
        found.append((settings.alpha, settings.beta, settings.unknown_word_penalty))
    assert found[0] == found[1]


def test_the_model_runs_once(
    run: Run,
    bundle: Path,
    manifest: Path,
    scorer: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(bundle, manifest, "--language-model", scorer, "--dry-run") == 0
    first = capsys.readouterr().out

    def refuse(*_: object) -> None:
        raise AssertionError("the model runs again")

    monkeypatch.setattr(Recognizer, "__init__", refuse)
    assert run(bundle, manifest, "--language-model", scorer, "--dry-run") == 0
    again, errors = capsys.readouterr()
    assert "using the cached outputs" in errors
    assert _weights(again) == _weights(first)


def test_a_model_is_tuned_with_other_frequency_warps(
    run: Run,
    bundle: Path,
    manifest: Path,
    scorer: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tuned = tmp_path / "tuned"
    arguments = (bundle, manifest, "--language-model", scorer, "-o", tuned)
    assert run(*arguments) == 0
    assert Bundle.load(tuned).frequency_warps.factors == (1.0,)
    assert run(*arguments, "--frequency-warps", "1,1.001") == 0
    assert "using the cached" not in capsys.readouterr().err  # which are those of no warps
    loaded = Bundle.load(tuned)
    assert loaded.frequency_warps.factors == (1.0, 1.001)
    assert loaded.card["results"] == []  # even of greedy decoding, since the outputs are others


def _weights(output: str) -> list[str]:
    """Return the lines that tell the weights; thresholds depend on times."""
    names = "alpha ", "beta ", "unknown_word_penalty "
    return [line for line in output.splitlines() if line.startswith(names)]


def test_a_cache_that_cannot_be_written_costs_nothing_else(
    run: Run, bundle: Path, manifest: Path, scorer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bundle, manifest, "--language-model", scorer, "--cache", manifest) == 0
    assert "the outputs are not saved" in capsys.readouterr().err
    assert "tuning" in Bundle.load(bundle).card


@pytest.mark.parametrize("zipped", [False, True])
def test_a_dry_run_and_an_output_leave_the_model(
    run: Run, bundle: Path, manifest: Path, scorer: Path, tmp_path: Path, zipped: bool
) -> None:
    model = bundle
    if zipped:
        model = Path(shutil.make_archive(str(tmp_path / "zip"), "zip", bundle))
    before, entries = files_of(bundle), set(tmp_path.iterdir())
    assert run(model, manifest, "--language-model", scorer, "--dry-run") == 0
    assert set(tmp_path.iterdir()) == entries | {tmp_path / "cache"}
    assert run(model, manifest, "--language-model", scorer, "-o", tmp_path / "new") == 0
    assert files_of(bundle) == before
    assert Bundle.load(tmp_path / "new").card["tuning"]["tuned"]["wer"] == 0.0


@pytest.fixture
def _ctrl_c_interrupts() -> Iterator[None]:
    """Shells have what they run in the background ignore it, and so would the test."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_interrupts")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_keep_the_best_so_far(
    number: signal.Signals,
    status: int,
    run: Run,
    bundle: Path,
    manifest: Path,
    scorer: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = files_of(bundle)
    read, left = DevSet.decode, [0]

    def interrupted(self: DevSet, decoder: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            signal.raise_signal(number)
        return read(self, decoder)

    monkeypatch.setattr(DevSet, "decode", interrupted)
    left[0] = 1
    assert run(bundle, manifest, "--language-model", scorer) == status
    assert "the model is unchanged" in capsys.readouterr().err
    assert files_of(bundle) == before
    left[0] = 4
    assert run(bundle, manifest, "--language-model", scorer) == status
    errors = capsys.readouterr().err
    assert f"interrupted: 3 of 5 weights and 0 of {THRESHOLD_TRIALS}" in errors
    assert "Traceback" not in errors
    tuning = Bundle.load(bundle).card["tuning"]
    assert (tuning["finished"], tuning["trials"]["weights"]) == (False, 3)
    left[0] = 5 + THRESHOLD_TRIALS + 2
    assert run(bundle, manifest) == status
    assert "the settings are those found; nothing was compared" in capsys.readouterr().err
    tuning = Bundle.load(bundle).card["tuning"]
    assert (tuning["finished"], tuning["trials"]["weights"]) == (True, 5)
    assert "before" not in tuning

    def unfitted(self: DevSet, *_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(DevSet, "evidence", unfitted)
    left[0] = -1
    assert run(bundle, manifest) == 130
    assert "confidences are the default ones, and nothing was" in capsys.readouterr().err
    assert Bundle.load(bundle).decoding.calibration is None


def test_what_cannot_be_read_is_named_and_left_out(
    run: Run, bundle: Path, manifest: Path, scorer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (manifest.parent / "1.wav").unlink()
    for _ in range(2):  # from the cache, too
        assert run(bundle, manifest, "--language-model", scorer) == 1
        assert "error: " in (errors := capsys.readouterr().err)
        assert "dev.jsonl, line 2: " in errors
        assert Bundle.load(bundle).card["tuning"]["utterances"] == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"manifest": "nowhere.jsonl"}, "nowhere.jsonl: there is no such manifest"),
        ({"model": "nowhere"}, "nowhere: no such model bundle"),
        ({"model": "bundled"}, "bundled: give a folder for the tuned model (--output"),
        ({"model": "zip.zip"}, "zip.zip: is not a folder; unpack it, or give a folder"),
        ({"lm": "kenlm"}, "kenlm: queries KenLM, and a model bundle holds flattened scorers only"),
        ({"lm": "model.arpa"}, "model.arpa: is an ARPA file; package it first"),
        ({"lm": "none"}, "none: no such scorer"),
        ({"output": "dev.jsonl"}, "dev.jsonl: exists and is not a model bundle"),
        ({"output": "dev.jsonl/new"}, "dev.jsonl/new: cannot be written"),
        ({"plot": "dev.jsonl/s.png"}, "dev.jsonl/s.png: cannot be written"),
        ({"trials": "0"}, "Invalid value for '--trials'"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    run: Run,
    bundle: Path,
    manifest: Path,
    scorer: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str],
    says: str,
) -> None:
    monkeypatch.chdir(manifest.parent)
    shutil.make_archive("zip", "zip", bundle)
    before = files_of(bundle)
    lm = scorer.parent / change.pop("lm", "scorer")
    model, said = change.pop("model", "bundle"), change.pop("manifest", "dev.jsonl")
    options = [part for name, value in change.items() for part in (f"--{name}", value)]
    assert run(model, said, "--language-model", lm, *options) != 0
    errors = capsys.readouterr().err
    assert says in errors
    assert "Traceback" not in errors
    assert files_of(bundle) == before
    assert not Path("cache").exists()


def test_without_a_scorer_there_is_nothing_to_tune(
    run: Run, bundle: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bundle, manifest) == 1
    assert "has no language model; give one (--language-model" in capsys.readouterr().err
