"""The decoder, with pyctcdecode's methods."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from plainspeech.cores import available_cores
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.errors import ConfigurationError, LanguageModelError
from plainspeech.files import write_atomically
from plainspeech.pyctcdecode.adapter import (
    BeamWithoutState,
    OutputBeam,
    Pruning,
    SearchAdapter,
    log_probabilities,
    output_beam,
)
from plainspeech.pyctcdecode.alphabet import Alphabet
from plainspeech.pyctcdecode.constants import (
    DEFAULT_ALPHA,
    DEFAULT_BEAM_WIDTH,
    DEFAULT_BETA,
    DEFAULT_HOTWORD_WEIGHT,
    DEFAULT_MIN_TOKEN_LOGP,
    DEFAULT_PRUNE_BEAMS,
    DEFAULT_PRUNE_LOGP,
    DEFAULT_SCORE_LM_BOUNDARY,
    DEFAULT_UNK_LOGP_OFFSET,
)
from plainspeech.pyctcdecode.language_model import LanguageModel, Words

_Result = TypeVar("_Result")


class BeamSearchDecoderCTC:
    """CTC beam search with pyctcdecode's face; threads may share one.

    All of its calls have these parameters:

    - ``logits``: ``(frames, labels)``, logits, log-probabilities or probabilities.
    - ``beam_width``: most hypotheses after a frame.
    - ``beam_prune_logp``: hypotheses this far below the best are dropped; below 0.
    - ``token_min_logp``: labels of a smaller log-probability are not considered, except the best
      of a frame; below 0.
    - ``hotwords``: words and phrases, of which every word counts.
    - ``hotword_weight``: nats for each occurrence of one.
    - ``lm_start_state``: ``last_lm_state`` of the beam before the text.
    - ``prune_history``: of hypotheses that nothing to come can tell apart, keep the best alone.

    Args:
        alphabet: the labels.
        language_model: None for none.

    Raises:
        LanguageModelError: alphabet and language model do not fit.
    """

    model_container: dict[str, LanguageModel | None]
    """The language model, by ``_model_key``; its weights may be set."""

    _model_key: ClassVar[str] = "language_model"
    _ALPHABET_SERIALIZED_FILENAME: ClassVar[str] = "alphabet.json"
    _LANGUAGE_MODEL_SERIALIZED_DIRECTORY: ClassVar[str] = "language_model"

    def __init__(self, alphabet: Alphabet, language_model: LanguageModel | None = None) -> None:
        self._alphabet = alphabet
        self.model_container = {self._model_key: language_model}
        self._search = SearchAdapter(alphabet, language_model)

    @property
    def _language_model(self) -> LanguageModel | None:
        return self.model_container[self._model_key]

    def reset_params(
        self,
        alpha: float | None = None,
        beta: float | None = None,
        unk_score_offset: float | None = None,
        lm_score_boundary: bool | None = None,
    ) -> None:
        """Change the weights that are not None; see `LanguageModel`."""
        if self._language_model is None:
            return
        given = {
            "alpha": alpha,
            "beta": beta,
            "unk_score_offset": unk_score_offset,
            "score_boundary": lm_score_boundary,
        }
        for name, value in given.items():
            if value is not None:
                setattr(self._language_model, name, value)

    def decode(
        self,
        logits: npt.ArrayLike,
        beam_width: int = DEFAULT_BEAM_WIDTH,
        beam_prune_logp: float = DEFAULT_PRUNE_LOGP,
        token_min_logp: float = DEFAULT_MIN_TOKEN_LOGP,
        hotwords: Iterable[str] | None = None,
        hotword_weight: float = DEFAULT_HOTWORD_WEIGHT,
        lm_start_state: Words | None = None,
    ) -> str:
        """Return the best text.

        Raises:
            DecodingError: an argument is out of range, or ``logits`` do not fit the labels.
        """
        rows = log_probabilities(logits, self._alphabet)
        if not len(rows):
            return ""
        pruning = Pruning(beam_width, beam_prune_logp, token_min_logp, prune_history=True)
        decoder, words = self._prepared(rows, pruning, hotwords, hotword_weight, lm_start_state)
        return self._alphabet.text(decoder.decode(rows, words).text)

    def decode_beams(
        self,
        logits: npt.ArrayLike,
        beam_width: int = DEFAULT_BEAM_WIDTH,
        beam_prune_logp: float = DEFAULT_PRUNE_LOGP,
        token_min_logp: float = DEFAULT_MIN_TOKEN_LOGP,
        prune_history: bool = DEFAULT_PRUNE_BEAMS,
        hotwords: Iterable[str] | None = None,
        hotword_weight: float = DEFAULT_HOTWORD_WEIGHT,
        lm_start_state: Words | None = None,
    ) -> list[OutputBeam]:
        """Return the hypotheses, the best first.

        Raises:
            DecodingError: as `decode`.
        """
        rows = log_probabilities(logits, self._alphabet)
        if not len(rows):
            return [OutputBeam("", lm_start_state, [], 0.0, 0.0)]
        pruning = Pruning(beam_width, beam_prune_logp, token_min_logp, prune_history)
        decoder, words = self._prepared(rows, pruning, hotwords, hotword_weight, lm_start_state)
        return [
            output_beam(hypothesis, self._alphabet, self._language_model, lm_start_state)
            for hypothesis in decoder.decode_n_best(rows, beam_width, words)
        ]

    def _prepared(
        self,
        rows: npt.NDArray[np.float32],
        pruning: Pruning,
        hotwords: Iterable[str] | None,
        hotword_weight: float,
        lm_start_state: Words | None,
    ) -> tuple[BeamSearchDecoder, dict[str, float]]:
        """Return the search for ``rows``, and the hot words as it takes them."""
        model = self._language_model
        decoder = self._search.tuned(rows, pruning, model, lm_start_state)
        return decoder, self._search.hot_words(hotwords, hotword_weight, model)

    def decode_batch(
        self, pool: Any, logits_list: Iterable[npt.ArrayLike], *args: Any, **options: Any
    ) -> list[str]:
        """Return what `decode` does for each of ``logits_list``, in order.

        Args:
            pool: has as many threads work as it has processes, which stay idle; None for one.
            logits_list: one array an utterance.
            args: as `decode`.
            options: as `decode`, except ``lm_start_state``.

        Raises:
            DecodingError: as `decode`.
        """
        return _mapped(pool, lambda logits: self.decode(logits, *args, **options), logits_list)

    def decode_beams_batch(
        self, pool: Any, logits_list: Iterable[npt.ArrayLike], *args: Any, **options: Any
    ) -> list[list[BeamWithoutState]]:
        """Return what `decode_beams` does for each of ``logits_list``, without the states.

        Args:
            pool: as in `decode_batch`.
            logits_list: one array an utterance.
            args: as `decode_beams`.
            options: as `decode_beams`, except ``lm_start_state``.

        Raises:
            DecodingError: as `decode`.
        """

        def decode(logits: npt.ArrayLike) -> list[BeamWithoutState]:
            return [beam.without_state() for beam in self.decode_beams(logits, *args, **options)]

        return _mapped(pool, decode, logits_list)

    def save_to_dir(self, filepath: str | Path) -> None:
        """Write alphabet and language model into the folder ``filepath``, as pyctcdecode does."""
        folder = Path(filepath)
        write_atomically(
            folder / self._ALPHABET_SERIALIZED_FILENAME, self._alphabet.dumps().encode()
        )
        if self._language_model:
            self._language_model.save_to_dir(folder / self._LANGUAGE_MODEL_SERIALIZED_DIRECTORY)

    @classmethod
    def load_from_dir(
        cls, filepath: str | Path, unigram_encoding: str | None = None
    ) -> BeamSearchDecoderCTC:
        """Load what pyctcdecode, or `save_to_dir`, wrote into ``filepath``.

        Raises:
            LanguageModelError: something is missing, or not what it should be.
        """
        folder = Path(filepath)
        try:
            alphabet = (folder / cls._ALPHABET_SERIALIZED_FILENAME).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise LanguageModelError(
                f"{folder}: is not a decoder that pyctcdecode saved: {error}"
            ) from error
        models = folder / cls._LANGUAGE_MODEL_SERIALIZED_DIRECTORY
        model = LanguageModel.load_from_dir(models, unigram_encoding) if models.is_dir() else None
        return cls(Alphabet.loads(alphabet), model)

    @classmethod
    def load_from_hf_hub(
        cls, model_id: str, cache_dir: str | None = None, **options: Any
    ) -> BeamSearchDecoderCTC:
        """Download what `load_from_dir` loads from the Hugging Face hub.

        Args:
            model_id: of its repository.
            cache_dir: to keep it in.
            options: of ``huggingface_hub.snapshot_download``.

        Raises:
            ConfigurationError: huggingface_hub is not installed, or as `load_from_dir`.
        """
        try:
            hub = importlib.import_module("huggingface_hub")
        except ImportError as error:
            raise ConfigurationError(
                "load_from_hf_hub needs pip install huggingface_hub"
            ) from error
        return cls.load_from_dir(hub.snapshot_download(model_id, cache_dir=cache_dir, **options))


def build_ctcdecoder(
    labels: Sequence[str],
    kenlm_model_path: str | Path | None = None,
    unigrams: Collection[str] | None = None,
    alpha: float = DEFAULT_ALPHA,
    beta: float = DEFAULT_BETA,
    unk_score_offset: float = DEFAULT_UNK_LOGP_OFFSET,
    lm_score_boundary: bool = DEFAULT_SCORE_LM_BOUNDARY,
) -> BeamSearchDecoderCTC:
    """Return a decoder.

    Args:
        labels: of a model's outputs, in order; see `Alphabet.build_alphabet`.
        kenlm_model_path: an ARPA file or a binary of KenLM's; None for no language model.
        unigrams: the words that are known; by default those of the ARPA file.
        alpha: see `LanguageModel`, as all that follow.
        beta: nats a word.
        unk_score_offset: for words that are not known.
        lm_score_boundary: whether texts begin and end as sentences do.

    Raises:
        LanguageModelError: labels and model do not fit this decoder, or one another.
    """
    alphabet = Alphabet.build_alphabet(labels)
    if kenlm_model_path is None:
        return BeamSearchDecoderCTC(alphabet)
    model = LanguageModel(
        kenlm_model_path, unigrams, alpha, beta, unk_score_offset, lm_score_boundary
    )
    return BeamSearchDecoderCTC(alphabet, model)


def _mapped(
    pool: Any, call: Callable[[npt.ArrayLike], _Result], utterances: Iterable[npt.ArrayLike]
) -> list[_Result]:
    """Return ``call`` of each utterance, by as many threads as ``pool`` has processes."""
    # The search runs without the interpreter's lock: processes would only cost.
    threads = getattr(pool, "_processes", available_cores()) if pool is not None else 1
    with ThreadPoolExecutor(threads) as executor:
        return list(executor.map(call, utterances))
