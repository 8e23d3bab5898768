"""The benchmarks' modules can be loaded, and the generator makes what they read."""

from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import typer
from benchmarks import run_all
from benchmarks.decoder import compare, simulate
from benchmarks.decoder.systems import read_posteriors
from benchmarks.transcription.frontier import Point, frontier
from hypothesis import given
from hypothesis import strategies as st

from plainspeech import ENGLISH, load_model
from plainspeech.data.manifest import Utterance
from plainspeech.decoding.greedy import greedy_text
from plainspeech.evaluation.error_rates import Pair, error_rates

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
MODULES = [
    ".".join(("benchmarks", *file.relative_to(FOLDER).with_suffix("").parts))
    for file in sorted(FOLDER.rglob("*.py"))
    if file.name != "__init__.py"
]
SAMPLE = FOLDER.parent / "samples" / "2803-154328-0001.flac"
SENTENCES = [f"sentence number {'x' * n} is longer than the shortest allowed one" for n in range(9)]


@pytest.mark.parametrize("module", MODULES)
def test_it_can_be_loaded_and_says_what_it_measures(module: str) -> None:
    assert importlib.import_module(module).__doc__


def test_the_readme_tells_of_every_script() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    scripts = [
        m
        for m in MODULES
        if "__main__" in (FOLDER.parent / f"{m.replace('.', '/')}.py").read_text()
    ]
    children = {"benchmarks.decoder.systems", "benchmarks.transcription.systems"}
    assert [m for m in scripts if m not in children and m not in text] == []


def test_a_simulated_set_is_what_the_benchmarks_read(tmp_path: Path) -> None:
    text, rest = tmp_path / "text.txt", tmp_path / "rest.txt"
    text.write_text("short\n" + "".join(f"{line}\n" for line in SENTENCES))
    simulate.main(text, tmp_path / "set", dev=2, test=5, rest=rest, sentences=9)
    said = (tmp_path / "set" / "references.txt").read_text().splitlines()
    rows = read_posteriors(tmp_path / "set" / "posteriors.npz")
    assert len(rows) == len(said) == 5
    assert len(read_posteriors(tmp_path / "set" / "dev_posteriors.npz")) == 2
    left = rest.read_text().splitlines()
    assert left[0] == "short"
    assert len(left) == 2
    assert not set(left) & set(said)


def test_greedy_decoding_gets_most_of_it_right() -> None:
    random = np.random.default_rng(0)
    sentence = "the quick brown fox jumps over the lazy dog and all the letters are balled up"
    rows = [simulate.simulated(sentence, random) for _ in range(50)]
    np.testing.assert_allclose(np.exp(np.concatenate(rows)).sum(axis=1), 1.0, rtol=1e-5)
    pairs = [Pair("", "", sentence, greedy_text(one, ENGLISH)) for one in rows]
    assert 0.04 < error_rates(pairs).characters.rate < 0.1


def test_all_are_run_or_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What lacks data is left out; what fails is named, and the others are run all the same."""
    started: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        started.append(command)
        return subprocess.CompletedProcess(command, int("benchmarks.serving.load" in command))

    monkeypatch.setattr("benchmarks.run_all.subprocess.run", run)
    (tmp_path / "dev-clean.jsonl").touch()
    with pytest.raises(typer.Exit):
        run_all.main(tmp_path, tmp_path / "measured")
    said = capsys.readouterr()
    assert "training (docs/speed.md): left out, not given: train-clean-5.jsonl" in said.out
    assert "failed: serving" in said.err
    modules = [command[2] for command in started]
    own = [module for module in modules if module != "plainspeech"]
    assert own == [f"benchmarks.{name}" for name in RUNS_WITH_DEV_ALONE]
    assert modules.count("plainspeech") == 2  # evaluates
    head = (tmp_path / "measured" / "speed.txt").read_text().splitlines()
    assert head[1].startswith("python -m benchmarks.transcription.speed bundled ")


RUNS_WITH_DEV_ALONE = [
    "transcription.speed",
    "transcription.frontier",
    "transcription.long_audio",
    "alignment.measure",
    "decoder.compare",  # real, with the scorer that ships
    "decoder.loading",
    "serving.load",
    "serving.memory",
]


MAKERS = {"benchmarks.decoder.simulate": "simulated", "plainspeech": "scorer"}


def test_what_benchmarks_need_is_made_once_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the decoders' benchmarks share is made for the first; AN4 is split for the ablation."""
    started: list[list[str]] = []
    made = tmp_path / "measured" / "made"

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        started.append(command[2:])
        if made_by := MAKERS.get(command[2]):
            (made / made_by).mkdir(parents=True, exist_ok=True)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("benchmarks.run_all.subprocess.run", run)
    (tmp_path / "an4.jsonl").touch()
    chosen = ["decoder", "growth", "ablation"]
    run_all.main(tmp_path, tmp_path / "measured", text=Path("books.txt"), only=chosen)
    assert [command[:3] for command in started] == [
        ["benchmarks.decoder.simulate", "books.txt", str(made / "simulated")],
        ["plainspeech", "lm", "build"],
        ["benchmarks.decoder.compare", "simulated", str(made / "simulated")],
        ["benchmarks.decoder.compare", "growth", str(made / "simulated")],
        ["plainspeech", "data", "split"],
        ["benchmarks.training.ablation", *(str(made / f"an4/{n}.jsonl") for n in ("train", "dev"))],
    ]


def test_a_peer_that_is_not_installed_is_left_out_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = str(tmp_path / "python")
    peers = [f"coqui={python}", f"pyctcdecode={python}"]
    run_all.main(tmp_path, tmp_path / "measured", peer=peers, only=["agreement"])
    assert capsys.readouterr().out.splitlines() == [
        "agreement (docs/coming-from.md): left out, not given: simulated, scorer, peer pyctcdecode",
        f"peer coqui: left out, {python} cannot import coqui_stt_ctcdecoder",
        f"peer pyctcdecode: left out, {python} cannot import pyctcdecode",
    ]
    with pytest.raises(typer.BadParameter, match="no peer is called 'pyctc'; coqui, "):
        run_all.main(tmp_path, tmp_path / "measured", peer=[f"pyctc={python}"])


NOTHING = run_all.Given()


def test_every_module_that_is_run_is_there() -> None:
    assert {one.module for one in run_all.benchmarks(NOTHING)} <= {*MODULES, "plainspeech"}


def test_every_benchmark_of_the_documents_is_run() -> None:
    run = {one.module for one in run_all.benchmarks(NOTHING)}
    pages = [FOLDER.parent / "README.md", *(FOLDER.parent / "docs").glob("*.md")]
    texts = [page.read_text(encoding="utf-8") for page in pages if page.name != "log.md"]
    named = {name for text in texts for name in re.findall(r"-m (benchmarks(?:\.\w+)+)", text)}
    assert "benchmarks.transcription.frontier" in named
    assert named - run == {"benchmarks.decoder.transformers_processor"}  # which measures nothing


def test_the_frontier_is_what_nothing_beats_in_both() -> None:
    fast, good, worse, slow = Point(1, 50), Point(3, 17), Point(4, 18), Point(9, 16)
    assert frontier([slow, good, worse, fast]) == [fast, good, slow]


@given(st.lists(st.builds(Point, st.integers(1, 9), st.integers(1, 9)), min_size=1))
def test_whatever_is_not_on_the_frontier_is_beaten_by_one_that_is(points: list[Point]) -> None:
    best = frontier(points)
    for point in points:
        assert any(one.cost <= point.cost and one.rate <= point.rate for one in best)
    assert sorted((one.rate for one in best), reverse=True) == [one.rate for one in best]


def test_decoders_are_compared_over_letters_which_all_of_them_know() -> None:
    recognizer = load_model(decoder="greedy")
    assert recognizer.bundle.phones  # its network has another output, which peers cannot read
    sample = Utterance("1", SAMPLE, "they had one night in which to prepare for death", 1.0)
    (rows,) = compare.over_letters(recognizer, [sample])
    assert rows.shape[1] == ENGLISH.size
    assert greedy_text(rows, ENGLISH).startswith("they had one night")
