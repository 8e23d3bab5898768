from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plainspeech.alphabet import ENGLISH
from plainspeech.errors import ConfigurationError
from plainspeech.model.crnn import Crnn, LockedDropout
from plainspeech.model.presets import PRESETS, preset
from plainspeech.model.streaming import Streaming

SMALL = Crnn(8, 5, channels=2, width=8, blocks=1, hidden=4).eval()


def test_it_has_two_to_six_million_parameters() -> None:
    model = preset("small").build(ENGLISH.size)
    assert 2e6 < sum(weight.numel() for weight in model.parameters()) < 6e6


def test_its_frames_are_30_ms_apart() -> None:
    assert PRESETS["small"].frame_seconds == pytest.approx(0.03)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4))
@settings(max_examples=50)
def test_lengths_are_thirds_rounded_up(lengths: list[int]) -> None:
    features = torch.zeros(len(lengths), max(lengths), 8)
    with torch.no_grad():
        output, output_lengths = SMALL(features, torch.tensor(lengths))
    assert output_lengths.tolist() == [-(-length // 3) for length in lengths]
    assert output.shape == (len(lengths), -(-max(lengths) // 3), 5)


@pytest.mark.parametrize("bins", [1, 7, 8, 20, 81])
def test_any_number_of_bins_will_do(bins: int) -> None:
    model = Crnn(bins, 5, channels=2, width=8, blocks=1, hidden=4)
    assert model(torch.zeros(1, 6, bins), torch.tensor([6]))[0].shape == (1, 2, 5)


def test_both_heads_give_distributions_and_the_last_is_the_output() -> None:
    features, lengths = torch.randn(2, 20, 8), torch.tensor([20, 11])
    with torch.no_grad():
        output, (intermediate,), phones = SMALL.heads(features, lengths)
        assert torch.equal(SMALL(features, lengths)[0], output)
    for head in (intermediate, output):
        assert head.dtype is torch.float32
        torch.testing.assert_close(head.exp().sum(-1), torch.ones(2, 7))
    assert not torch.equal(intermediate, output)
    assert phones is None


@pytest.mark.parametrize("kind", [Crnn, Streaming])
def test_a_head_over_phones_is_one_more_of_the_last_layer(kind: type[Crnn]) -> None:
    features, lengths = torch.randn(2, 70, 8), torch.tensor([70, 11])
    model = kind(8, 5, width=8, blocks=1, hidden=8, phones=4).eval()
    with torch.no_grad():
        heads = model.heads(features, lengths)
    assert heads.phones is not None
    assert heads.phones.shape == (*heads.output.shape[:2], 4)
    torch.testing.assert_close(heads.phones.exp().sum(-1), torch.ones(heads.phones.shape[:2]))


def test_a_model_that_cannot_learn_phones_says_so() -> None:
    with pytest.raises(ConfigurationError, match="cannot learn phones"):
        preset("reference").build(29, phones=41)


def test_dropout_takes_channels_for_the_whole_utterance() -> None:
    dropout = LockedDropout(0.5)
    torch.manual_seed(0)
    dropped = dropout(torch.ones(4, 9, 64))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert len({tuple(row[0].tolist()) for row in dropped}) == 4  # another draw an utterance
    assert torch.equal(dropout.eval()(torch.ones(1, 2, 3)), torch.ones(1, 2, 3))
