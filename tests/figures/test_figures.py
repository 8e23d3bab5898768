"""What is drawn, and where: figures of tones, of which all is known."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pytest
import soundfile
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from conftest import PAUSE_SECONDS, TONE_SECONDS, Plainspeech
from plainspeech.arrays import Array
from plainspeech.errors import AudioError, ConfigurationError, DataError
from plainspeech.features import mel
from plainspeech.figures.recording import draw_log_probabilities, draw_spectrogram, draw_words
from plainspeech.figures.searching import draw_beam, draw_overruled, watch_search
from plainspeech.figures.sheets import (
    AnalysedRecording,
    alignment_figure,
    contact_sheet,
    utterance_figure,
)
from plainspeech.figures.style import RIGHT, WRONG
from plainspeech.figures.texts import COLOURS, draw_texts
from plainspeech.figures.training_curves import draw_error_rates, read_epochs
from plainspeech.runtime.analysis import LONGEST_SECONDS, Analysis, analyse, analyse_waveform
from plainspeech.runtime.recognizer import Recognizer, load_model
from programs import output_of

Speak = Callable[..., Array]
RUN = Path(__file__).parents[2] / "docs" / "runs" / "english-small.jsonl"


@pytest.fixture
def recognizer(tone_bundle: Path) -> Recognizer:
    return load_model(tone_bundle, decoder="beam", threads=1)


@pytest.fixture
def analysis(recognizer: Recognizer, spoken: Speak) -> Analysis:
    return analyse_waveform(recognizer, spoken("a bad cab"))


def drawn(axes: Axes) -> dict[str, str]:
    """Return the colour of each text in ``axes``."""
    return {text.get_text(): to_hex(text.get_color()) for text in axes.texts}


def test_an_analysis_is_what_is_transcribed(
    recognizer: Recognizer, analysis: Analysis, spoken: Speak
) -> None:
    expected = recognizer.transcribe(spoken("a bad cab"))
    assert analysis.text == expected.text == "a bad cab"
    for word, other in zip(analysis.transcript.words, expected.words, strict=True):
        assert (word.start, word.end) == pytest.approx((other.start, other.end))
    assert analysis.duration == expected.duration


def test_silence_has_no_chunk_and_a_figure_all_the_same(recognizer: Recognizer) -> None:
    analysis = analyse_waveform(recognizer, np.zeros(16_000, np.float32))
    assert (analysis.chunks, analysis.text) == ((), "")
    alignment_figure(AnalysedRecording("silence", analysis, "a"))
    utterance_figure(AnalysedRecording("silence", analysis))


def test_a_recording_that_no_figure_can_hold_is_refused(
    recognizer: Recognizer, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "long.wav", np.zeros(int(16_000 * LONGEST_SECONDS) + 16_000), 16_000)
    with pytest.raises(AudioError, match=r"long\.wav: lasts 61 s; cut it to 60 s"):
        analyse(recognizer, tmp_path / "long.wav")


def test_a_spectrogram_ends_with_the_recording_and_is_in_hertz(analysis: Analysis) -> None:
    axes = draw_spectrogram(analysis.waveform, analysis.features)
    (image,) = axes.images
    left, right, low, high = image.get_extent()
    assert (left, right) == (0.0, analysis.duration)
    assert axes.get_xlim() == (0.0, analysis.duration)
    assert [low, high] == pytest.approx(mel([20.0, 7_600.0]).tolist())
    ticks = dict(
        zip((t.get_text() for t in axes.get_yticklabels()), axes.get_yticks(), strict=True)
    )
    assert ticks["1,000"] == pytest.approx(float(mel(1_000)))
    # The first tone, an a, is the loudest filter of the first frames.
    values = np.asarray(image.get_array())
    assert values.shape[1] == analysis.features.frames(len(analysis.waveform))
    assert int(values[:, 5].argmax()) == 12 + 2 * 1


def test_the_best_path_writes_each_character_at_its_tone(analysis: Analysis) -> None:
    axes = draw_log_probabilities(analysis)
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert (names[0], names[1], names[-1]) == ("space", "a", "blank")
    dots = axes.lines[1]
    times, symbols = np.asarray(dots.get_xdata()), np.asarray(dots.get_ydata())
    for place, character in enumerate("a bad cab"):
        start = place * (TONE_SECONDS + PAUSE_SECONDS)
        within = symbols[(times > start + 0.03) & (times < start + TONE_SECONDS - 0.03)]
        assert {names[symbol] for symbol in within} == {"space" if character == " " else character}


def test_words_are_at_their_times_and_wrong_ones_differ_in_more_than_colour(
    analysis: Analysis,
) -> None:
    words = analysis.transcript.words
    axes = draw_words(words, analysis.duration, "a bed cab")
    assert drawn(axes) == {"a": RIGHT, "bad": WRONG, "cab": RIGHT}
    assert {text.get_text(): text.get_fontstyle() for text in axes.texts}["bad"] == "italic"
    centres = [text.get_position()[0] for text in axes.texts]
    assert centres == pytest.approx([(word.start + word.end) / 2 for word in words])


def test_a_surer_word_is_fuller(analysis: Analysis) -> None:
    sure, unsure = (
        replace(analysis.transcript.words[0], confidence=confidence) for confidence in (0.9, 0.1)
    )
    later = replace(unsure, start=0.5, end=0.7)
    axes = draw_words([sure, later], 1.0)
    first, second = (float(patch.get_alpha() or 0) for patch in axes.patches)
    assert first > second


def test_texts_stand_beneath_each_other_and_errors_are_coloured() -> None:
    axes = draw_texts("the cat sat down", "the hat sat so")
    assert drawn(axes)["cat"] == drawn(axes)["hat"] == COLOURS["substitution"]
    at = {text.get_text(): text.get_position() for text in axes.texts}
    assert at["cat"][0] == at["hat"][0]
    assert at["cat"][1] > at["hat"][1]
    assert drawn(draw_texts("a b", "a"))["b"] == COLOURS["deletion"]
    assert drawn(draw_texts("a", "a b"))["b"] == COLOURS["insertion"]


def test_long_texts_are_broken_into_lines_that_fit() -> None:
    axes = draw_texts("word " * 40 + "word", "word " * 40 + "word")
    right = axes.get_xlim()[1]
    assert all(text.get_position()[0] < right for text in axes.texts)
    assert sum(text.get_text() == "actual" for text in axes.texts) > 1


def test_the_beam(recognizer: Recognizer, analysis: Analysis) -> None:
    search = watch_search(recognizer, analysis.chunks[0])
    assert search.trace.text == analysis.text
    assert len(search.trace.candidates) == len(analysis.chunks[0].log_probabilities)
    won = search.trace.gap_of(search.trace.text)
    assert won[-1] == 0.0
    axes = draw_beam(search)
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the best is at the top
    assert search.overruled == ()
    assert "same words" in draw_overruled(search).texts[0].get_text()


def test_greedy_decoding_has_no_search(tone_bundle: Path, spoken: Speak) -> None:
    greedy = load_model(tone_bundle, threads=1)
    chunk = analyse_waveform(greedy, spoken("a")).chunks[0]
    with pytest.raises(ConfigurationError, match="no search"):
        watch_search(greedy, chunk)


def test_a_sheet_has_a_spectrogram_for_each(analysis: Analysis) -> None:
    figure = contact_sheet([AnalysedRecording(name, analysis, "a bed cab") for name in "xyz"])
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.images]
    assert titles == [f"{name}, {analysis.duration:.1f} s: 1 error in 3 words" for name in "xyz"]


@pytest.fixture
def recording(tmp_path: Path, spoken: Speak) -> Path:
    soundfile.write(tmp_path / "tones.wav", spoken("a bad cab"), 16_000)
    return tmp_path / "tones.wav"


@pytest.mark.parametrize("kind", ["utterance", "alignment", "search"])
def test_the_command_line_draws_png_and_svg(
    kind: str, plainspeech: Plainspeech, recording: Path, tone_bundle: Path
) -> None:
    for suffix in ("png", "svg"):
        output = recording.with_suffix(f".{suffix}")
        arguments = ["--reference", "A bed cab.", "--model", tone_bundle, "-o", output]
        assert plainspeech("plot", kind, recording, *arguments) == (0, "")
    assert matplotlib.image.imread(recording.with_suffix(".png")).shape[1] >= 900
    text = "".join(ElementTree.parse(recording.with_suffix(".svg")).getroot().itertext())
    assert "bad" in text  # it can be searched and read aloud
    assert "tones.wav" in text


def test_a_set_and_a_run(
    plainspeech: Plainspeech, recording: Path, tone_bundle: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text('{"id": "one", "audio": "tones.wav", "text": "a bad cab"}\n')
    sheet = tmp_path / "new" / "sheet.svg"
    assert plainspeech("plot", "set", manifest, "--model", tone_bundle, "-o", sheet)[0] == 0
    assert "one, " in "".join(ElementTree.parse(sheet).getroot().itertext())
    history = tmp_path / "history.jsonl"
    history.write_text('{"epoch": 1, "train_loss": 2.0, "dev_wer": 0.5, "dev_cer": 0.2}\n')
    assert plainspeech("plot", "training", tmp_path, "-o", tmp_path / "run.png")[0] == 0
    assert (tmp_path / "run.png").exists()


def test_the_error_rate_of_the_training_data_is_drawn_where_it_was_measured() -> None:
    old = {"epoch": 1, "train_loss": 2.0, "dev_wer": 0.5, "dev_cer": 0.2}
    assert [line.get_label() for line in draw_error_rates([old]).lines] == ["dev WER", "dev CER"]
    new = {"epoch": 2, "train_loss": 1.0, "train_wer": 0.125, "dev_wer": 0.4, "dev_cer": 0.1}
    axes = draw_error_rates([old, new])
    known = next(line for line in axes.lines if line.get_label() == "train WER")
    assert np.array_equal(known.get_xydata(), [[2, 12.5]])
    assert known.get_linestyle() == "--"
    assert {text.get_text() for text in axes.texts} == {"40.0", "10.0", "12.5"}


def test_mistakes_are_one_line(
    plainspeech: Plainspeech, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = tmp_path / "m.jsonl"
    silent.write_text('{"id": "one", "audio": "tones.wav", "text": ""}\n')
    for arguments, told in (
        (["set", silent, "-o", "x.png"], "the text of utterance 'one'"),
        (["utterance", recording, "-o", "x.gif"], "figures are PNG or SVG"),
        (["training", tmp_path / "none", "-o", "x.png"], "cannot be read"),
        (["utterance", recording, "-o", "x.png", "--reference", "1 2 3"], "--reference"),
    ):
        status, errors = plainspeech("plot", *arguments)
        assert (status, errors.count("\n")) == (1, 1)
        assert told in errors
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for module in [name for name in sys.modules if name.startswith("plainspeech.figures")]:
        monkeypatch.delitem(sys.modules, module)
    assert (
        "pip install -c constraints.txt '.[plot]'"
        in plainspeech("plot", "set", "m", "-o", "x.png")[1]
    )


@pytest.mark.parametrize("content", ["", "{", "[]\n", '{"epoch": 1}\n'])
def test_what_is_no_history_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text(content)
    with pytest.raises(DataError, match=r"history\.jsonl"):
        read_epochs(tmp_path)


def test_a_cache_that_cannot_be_written_is_not_worth_a_word(tmp_path: Path) -> None:
    program = tmp_path / "draw.py"
    program.write_text(
        "import sys\n"
        "from plainspeech.cli import main\n"
        f"sys.argv = ['plainspeech', 'plot', 'training', {str(RUN)!r}, '-o', "
        f"{str(tmp_path / 'a.svg')!r}]\n"
        "main()\n"
    )
    nowhere = {"XDG_CACHE_HOME": "/dev/null/cache", "MPLCONFIGDIR": None}
    assert output_of(program, nowhere).endswith("a.svg: written")
