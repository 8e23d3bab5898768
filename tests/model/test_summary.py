from __future__ import annotations

import pytest
from torch import Tensor, nn
from typer.testing import CliRunner

from plainspeech.cli.model import app
from plainspeech.errors import PlainspeechError
from plainspeech.model.base import AcousticModel, Heads
from plainspeech.model.presets import PRESETS
from plainspeech.model.summary import Stage, summarise


class Toy(AcousticModel):
    subsampling = 1

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 3, padding=1)
        self.recurrence = nn.GRU(10, 3, batch_first=True)
        self.output = nn.Linear(3, 4)

    def heads(self, features: Tensor, lengths: Tensor) -> Heads:
        x = self.convolution(features[:, None]).transpose(1, 2).flatten(2)
        return Heads(self.output(self.recurrence(x)[0]).log_softmax(-1))

    def classifiers(self) -> list[nn.Linear]:
        return [self.output]

    def stages(self) -> list[tuple[str, nn.Module]]:
        return [("a", self.convolution), ("b", self.recurrence), ("c", self.output)]


def test_counts_of_a_model_small_enough_to_count_by_hand() -> None:
    assert summarise(Toy(), bins=5, frames=7) == [
        Stage("a", (2, 7, 5), 2 * 9 + 2, 0, multiply_adds=2 * 9 * 7 * 5),
        Stage("b", (7, 3), 9 * 10 + 9 * 3 + 18, 9 * 10 + 9 * 3 + 18, 7 * (9 * 10 + 9 * 3)),
        Stage("c", (7, 4), 3 * 4 + 4, 0, multiply_adds=7 * 3 * 4),
    ]


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training: bool) -> None:
    model = Toy().train(training)
    summarise(model, bins=5, frames=7)
    assert model.training is training
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_stages_hold_every_parameter_once(name: str) -> None:
    model = PRESETS[name].build(29)
    stages = summarise(model, PRESETS[name].features.bins, frames=5)
    assert sum(stage.parameters for stage in stages) == sum(w.numel() for w in model.parameters())
    assert all(stage.output[-1] > 0 for stage in stages)


def test_the_output_over_phones_is_a_stage() -> None:
    model = PRESETS["small"].build(29, phones=40)
    stages = summarise(model, PRESETS["small"].features.bins, frames=5)
    assert sum(stage.parameters for stage in stages) == sum(w.numel() for w in model.parameters())
    assert (stages[-1].name, stages[-1].output[-1]) == ("output over phones", 40)


def test_outputs_over_phones_are_an_option() -> None:
    result = CliRunner().invoke(app, ["summary", "small", "--phones", "40"])
    assert result.exit_code == 0
    assert "448 x 40" in result.stdout
    with pytest.raises(PlainspeechError, match="cannot learn phones"):
        CliRunner().invoke(app, ["summary", "reference", "--phones", "40"], catch_exceptions=False)


def test_the_printed_table_of_the_reference() -> None:
    result = CliRunner().invoke(app, ["summary", "reference"])
    assert result.exit_code == 0
    for text in (
        "32 x 64 x 672",
        "672 x 1024",
        "3,151,872",
        "1,049,088",
        "1,654,557",
        "23,705,373",
    ):
        assert text in result.stdout


def test_the_length_of_the_input_is_an_option() -> None:
    result = CliRunner().invoke(app, ["summary", "small", "--frames", "100"])
    assert result.exit_code == 0
    assert "100 frames (1 s)" in result.stdout
    assert "34 x 256" in result.stdout


@pytest.mark.parametrize("option", ["--frames", "--phones"])
def test_what_no_memory_holds_is_refused(option: str) -> None:
    result = CliRunner().invoke(app, ["summary", "small", option, "99999999999999999999"])
    assert result.exit_code == 2
    assert option in result.stderr


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(PlainspeechError, match="did you mean 'reference'"):
        CliRunner().invoke(app, ["summary", "refrence"], catch_exceptions=False)
