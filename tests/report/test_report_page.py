"""The page of a report: what is on it, that it stands alone, and that anyone can read it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from axe_playwright_python.sync_playwright import Axe

from browsers import chromium, needs_chromium, visit
from conftest import Plainspeech
from plainspeech.arrays import Array
from plainspeech.cli.report import _recognizer
from plainspeech.errors import DataError
from plainspeech.evaluation.signal import signal_to_noise
from plainspeech.report.breakdowns import calibration, causes, chosen, vocabulary_recall
from plainspeech.report.systems import read_all, read_results
from plainspeech.runtime.frequency_warps import UNWARPED

SPOKEN = [
    ("a bad cab", "a bad cab"),
    ("feed me", "feed us"),
    ("go <on>", "go on at"),
    ("cafe", "cafe"),
]
"""What stands in the manifest, and what the recordings say."""


@pytest.fixture
def results(
    plainspeech: Plainspeech, tone_bundle: Path, spoken: Callable[..., Array], tmp_path: Path
) -> dict[str, Path]:
    """Evaluations of the tone model by both decoders."""
    rows = []
    for number, (said, sung) in enumerate(SPOKEN):
        soundfile.write(tmp_path / f"{number}.wav", spoken(sung), 16_000)
        rows.append({"id": f"{number % 2}-{number}", "audio": f"{number}.wav", "text": said})
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("".join(f"{json.dumps({**row, 'speaker': 'x'})}\n" for row in rows))
    found = {}
    for decoder, more in (("beam", ["--explain"]), ("greedy", [])):
        found[decoder] = tmp_path / f"{decoder}.json"
        arguments = [tone_bundle, manifest, "--decoder", decoder, "--json", found[decoder], *more]
        assert plainspeech("evaluate", *arguments)[0] == 0
    return found


def page(plainspeech: Plainspeech, *arguments: Any) -> str:
    output = arguments[-1]
    assert plainspeech("report", *arguments[:-1], "-o", output) == (0, "")
    return Path(output).read_text(encoding="utf-8")


def test_an_evaluation_tells_what_a_report_needs(results: dict[str, Path]) -> None:
    system = read_results(results["beam"])
    assert [result.pair.hypothesis for result in system.results] == [sung for _, sung in SPOKEN]
    first = system.results[0]
    assert [word.text for word in first.words or ()] == ["a", "bad", "cab"]
    assert first.duration == pytest.approx(9 * 0.18, abs=0.01)
    assert first.audio is not None
    assert first.audio.exists()
    assert causes(system) == [("acoustics", 2)]  # us for me, and at
    assert vocabulary_recall(system)[1].said == 0  # there is no lexicon
    assert calibration(system) is not None


def test_a_page_of_one_system(
    plainspeech: Plainspeech, results: dict[str, Path], tmp_path: Path
) -> None:
    history = tmp_path / "history.jsonl"
    history.write_text('{"epoch": 1, "train_loss": 2.0, "dev_wer": 0.5, "dev_cer": 0.25}\n')
    text = page(
        plainspeech, results["beam"], "--run", tmp_path, "--examples", 2, tmp_path / "r.html"
    )
    assert "25.00 %" in text  # 2 errors in 8 words
    assert "<del>me</del> <ins>us</ins>" in text
    assert "go on <ins>at</ins>" in text
    assert text.count("data:audio/mpeg") == text.count('<svg role="img"') - 1 == 4
    assert "Comparison" not in text
    assert "50.00 %" in text  # of the run


def test_two_systems_side_by_side(
    plainspeech: Plainspeech, results: dict[str, Path], tmp_path: Path
) -> None:
    both = [results["beam"], results["greedy"]]
    text = page(plainspeech, *both, "--no-figures", "--no-audio", tmp_path / "r.html")
    assert "matched pairs" in text
    assert "0 with fewer errors, 0 with more, 4 with as many" in text
    assert "data:" not in text.replace("img-src data:; media-src data:", "")


def test_systems_of_one_name_have_those_of_their_files(
    results: dict[str, Path], tmp_path: Path
) -> None:
    copies = [tmp_path / "a.json", tmp_path / "b.json", tmp_path / "c" / "b.json"]
    for copy in copies:
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(results["beam"], copy)
    alone, other = read_all([results["beam"], results["greedy"]])
    assert "(" not in alone.label + other.label
    labels = [system.label for system in read_all([*copies, results["greedy"]])]
    assert labels == [
        f"{alone.label} (a.json)",
        f"{alone.label} ({copies[1]})",
        f"{alone.label} ({copies[2]})",
        other.label,
    ]


def test_results_without_recordings_and_of_earlier_versions(
    plainspeech: Plainspeech, results: dict[str, Path], tmp_path: Path
) -> None:
    for place in range(4):
        (tmp_path / f"{place}.wav").unlink()
    assert "cannot be read here" in page(plainspeech, results["beam"], tmp_path / "r.html")
    found = json.loads(results["greedy"].read_text())
    kept = {"id", "speaker", "reference", "hypothesis"}
    found["utterances"] = [
        {key: row[key] for key in row if key in kept} for row in found["utterances"]
    ]
    (tmp_path / "old.json").write_text(json.dumps(found))
    text = page(plainspeech, tmp_path / "old.json", tmp_path / "r.html")
    assert "do not say where" in text
    assert "Signal-to-noise" not in text


def test_figures_are_of_the_model_as_it_was_evaluated(
    plainspeech: Plainspeech, tone_bundle: Path, results: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("a bad cab\ngo on\n")
    build = ["build", tmp_path / "text.txt", "-o", tmp_path / "lm", "--order", 2]
    assert plainspeech("lm", *build, "--estimator", "builtin")[0] == 0
    arguments = ["--language-model", tmp_path / "lm", "--frequency-warps", "0.9,1"]
    evaluation = [tone_bundle, tmp_path / "m.jsonl", "--json", tmp_path / "x.json", *arguments]
    assert plainspeech("evaluate", *evaluation)[0] == 0

    recognizer = _recognizer(read_results(tmp_path / "x.json"))

    assert recognizer is not None
    assert recognizer.bundle.frequency_warps.factors == (0.9, 1.0)
    assert "2-gram" in recognizer.decoder.description
    greedy = _recognizer(read_results(results["greedy"]))
    assert greedy is not None
    assert (greedy.decoder.description, greedy.bundle.frequency_warps) == ("greedy", UNWARPED)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "was evaluated by an older plainspeech"),
        ({"precision": "int4"}, "int4"),
        ({"frequency_warps": ["x"]}, "frequency_warps"),
        ({"language_model": "gone"}, "gone"),
        ({"decoder": 3}, "decoder"),
    ],
)
def test_a_page_of_a_model_that_cannot_be_loaded_has_no_figures(
    plainspeech: Plainspeech,
    results: dict[str, Path],
    tmp_path: Path,
    options: dict[str, Any],
    says: str,
) -> None:
    found = json.loads(results["beam"].read_text())
    found["options"] = {**found["options"], **options} if options else {}
    (tmp_path / "x.json").write_text(json.dumps(found))

    status, said = plainspeech("report", tmp_path / "x.json", "-o", tmp_path / "r.html")

    assert status == 0
    assert said.startswith("no figures: ")
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "[" * 100_000, '{"utterances": 1}', '{"utterances": [3]}']
)
def test_what_is_no_evaluation_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(DataError, match=r"x\.json: not what"):
        read_results(tmp_path / "x.json")


def test_systems_of_other_data_are_not_compared(
    plainspeech: Plainspeech, results: dict[str, Path], tmp_path: Path
) -> None:
    found = json.loads(results["greedy"].read_text())
    del found["utterances"][0]
    (tmp_path / "less.json").write_text(json.dumps(found))
    arguments = [results["beam"], tmp_path / "less.json", "--no-figures", "-o", tmp_path / "r.html"]
    status, errors = plainspeech("report", *arguments)
    assert (status, errors.count("\n")) == (1, 1)
    assert "other utterances" in errors


def test_without_jinja_the_extra_is_named(
    plainspeech: Plainspeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "plainspeech.report.page", raising=False)
    assert "pip install -c constraints.txt '.[report]'" in plainspeech("report", "x", "-o", "y")[1]


def test_utterances_are_shown_once(results: dict[str, Path]) -> None:
    groups = chosen(read_results(results["beam"]), 2)
    places = [place for group in groups.values() for place in group]
    assert len(places) == len(set(places)) == 4
    assert groups["Worst"] == [1, 2]


def test_the_signal_to_noise_ratio_is_that_of_speech_in_noise() -> None:
    draw = np.random.default_rng(0)
    noise = draw.normal(size=32_000) * 0.001
    speech = np.where(np.arange(32_000) % 8_000 < 4_000, draw.normal(size=32_000) * 0.1, 0.0)
    found = signal_to_noise((speech + noise).astype(np.float32), 16_000)
    assert found == pytest.approx(40.0, abs=1.5)
    assert signal_to_noise(np.zeros(100, np.float32), 16_000) == 0.0
    assert signal_to_noise(np.zeros(16_000, np.float32), 16_000) == 0.0


@needs_chromium
@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 390)], ids=["light", "dark phone"]
)
def test_everyone_can_read_it(
    scheme: str, width: int, plainspeech: Plainspeech, results: dict[str, Path], tmp_path: Path
) -> None:
    page(plainspeech, results["beam"], results["greedy"], "--examples", 1, tmp_path / "r.html")
    address = (tmp_path / "r.html").as_uri()
    options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    with chromium() as browser, visit(browser, address, **options) as shown:
        assert shown.evaluate("document.documentElement.scrollWidth") == width
        shown.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
        found = Axe().run(shown).response["violations"]
        assert [(one["id"], [node["html"][:80] for node in one["nodes"]]) for one in found] == []
        shown.locator("input[type=search]").first.fill("feed")
        assert shown.locator("#s1-all li:visible").count() == 1
        assert shown.locator("output").first.text_content() == "1 of 4"
