"""The published design has the faults that the benchmark says, and the benchmark measures them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.training import ablation
from benchmarks.training.published import BINS, PowerMel, Published, Sizes
from tiny import TEXTS, write_corpus
from torch import Tensor

from plainspeech.data.loading import Batch
from plainspeech.data.manifest import Utterance
from plainspeech.errors import ConfigurationError
from plainspeech.model.reference import Reference

SMALL = Sizes(channels=2, hidden=4, layers=2)


def features(*frames: int) -> tuple[Tensor, Tensor]:
    """Return noise for utterances of so many frames, zeros in the padding."""
    torch.manual_seed(0)
    x = torch.randn(len(frames), max(frames), BINS)
    for row, length in zip(x, frames, strict=True):
        row[length:] = 0
    return x, torch.tensor(frames)


@torch.no_grad()
def difference_in_company(model: torch.nn.Module, *frames: int) -> float:
    """Return how far the first utterance's output is from the one it has alone."""
    torch.manual_seed(0)
    x, lengths = features(*frames)
    there, _ = model.eval()(x, lengths)
    alone, _ = model(x[:1, : frames[0]], lengths[:1])
    return float((there[0, : frames[0] // 2] - alone[0, : frames[0] // 2]).abs().max())


def test_as_published_an_utterance_depends_on_its_neighbours() -> None:
    torch.manual_seed(0)
    assert difference_in_company(Published(SMALL, over_time=False), 20, 20) > 1e-3


def test_with_recurrence_over_time_it_depends_on_padding_alone() -> None:
    torch.manual_seed(0)
    model = Published(SMALL, over_time=True)
    assert difference_in_company(model, 20, 20) < 1e-5
    assert difference_in_company(model, 20, 28) > 1e-3


def test_the_reference_preset_depends_on_neither() -> None:
    torch.manual_seed(0)
    assert difference_in_company(Reference(BINS, channels=2, hidden=4, layers=2), 20, 28) < 1e-5


def test_as_published_the_last_of_an_odd_number_of_frames_is_not_counted() -> None:
    output, lengths = Published(SMALL, over_time=False)(*features(21))
    assert output.shape[1] == 11
    assert lengths.tolist() == [10]


def test_published_and_reference_have_equally_many_parameters() -> None:
    models = Published(over_time=False), Reference()
    assert {sum(w.numel() for w in model.parameters()) for model in models} == {23_705_373}


def test_as_published_four_filters_are_empty_and_loudness_stays() -> None:
    bank = PowerMel()
    noise = np.random.default_rng(0).integers(-900, 900, (1, 16_000), np.int16)
    none = np.zeros((1, 0), np.int64)

    def made(waveforms: np.ndarray[tuple[int, int], np.dtype[np.int16]]) -> Tensor:
        batch = Batch((), waveforms, np.array([16_000]), none, none[0], none, none[0])
        output: Tensor = bank(batch)[0]
        return output

    quiet, loud = made(noise), made(10 * noise)
    assert quiet.shape == (1, 81, BINS)
    assert int((quiet.amax((0, 1)) == 0).sum()) == 4
    torch.testing.assert_close(loud, 100 * quiet)


def test_the_mean_of_utterances_is_another_number_than_the_rate_of_the_corpus() -> None:
    dev = [Utterance("1", Path(), "a b c d", 1.0), Utterance("2", Path(), "e", 1.0)]
    rates = ablation.rates(dev, ["a b c d", "f"])
    assert rates["wer"] == pytest.approx(0.2)
    assert rates["mean_wer"] == pytest.approx(0.5)


def test_rows_are_trained_measured_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corpus(tmp_path, TEXTS[:4])
    manifest, results = tmp_path / "corpus.jsonl", tmp_path / "results"
    lexicon = tmp_path / "lexicon.txt"
    words = sorted({word for text in TEXTS[:4] for word in text.split()})
    lexicon.write_text("".join(f"{word}  {' '.join(word.upper())}\n" for word in words))
    monkeypatch.setattr(ablation, "NARROW", SMALL)
    rungs = {name: ablation.LADDER[name] for name in ("published", "loop", "phones")}
    monkeypatch.setattr(ablation, "LADDER", rungs)
    ablation.main(
        manifest, manifest, results, lexicon, minutes=1e-5, picture=tmp_path / "curves.png"
    )
    said = capsys.readouterr().out
    assert said.count("\n| ") == 1 + len(rungs)  # with the head
    assert (tmp_path / "curves.png").stat().st_size > 1000
    row = json.loads((results / "published.json").read_text())
    assert row["steps"] == 1
    assert 0 <= row["changed_by_neighbours"] <= 1

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(ablation, "climb", never)
    ablation.main(manifest, manifest, results, lexicon, minutes=1e-5)
    assert capsys.readouterr().out == said
    with pytest.raises(ConfigurationError, match=r"published\.json: made with other options"):
        ablation.main(manifest, manifest, results, lexicon, minutes=1.0)


def test_a_row_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no row smal; published, "):
        ablation.main(tmp_path, tmp_path, tmp_path, only=["smal"])
