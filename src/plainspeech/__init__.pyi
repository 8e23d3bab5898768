from plainspeech.alignment.aligned_text import AlignedSentence as AlignedSentence
from plainspeech.alignment.aligned_text import AlignedWord as AlignedWord
from plainspeech.alignment.aligned_text import Alignment as Alignment
from plainspeech.alignment.aligned_text import Disagreement as Disagreement
from plainspeech.alignment.aligner import align as align
from plainspeech.alphabet import ENGLISH as ENGLISH
from plainspeech.alphabet import Alphabet as Alphabet
from plainspeech.decoding.beam_search import BeamSearchDecoder as BeamSearchDecoder
from plainspeech.decoding.greedy import GreedyDecoder as GreedyDecoder
from plainspeech.decoding.hot_words import HotWords as HotWords
from plainspeech.decoding.results import Hypothesis as Hypothesis
from plainspeech.errors import AudioError as AudioError
from plainspeech.errors import ConfigurationError as ConfigurationError
from plainspeech.errors import DataError as DataError
from plainspeech.errors import DecodingError as DecodingError
from plainspeech.errors import LanguageModelError as LanguageModelError
from plainspeech.errors import ModelError as ModelError
from plainspeech.errors import PlainspeechError as PlainspeechError
from plainspeech.lm.scorer import Scorer as Scorer
from plainspeech.runtime.bundle import Bundle as Bundle
from plainspeech.runtime.live import LiveModel as LiveModel
from plainspeech.runtime.recognizer import Recognizer as Recognizer
from plainspeech.runtime.recognizer import load_model as load_model
from plainspeech.runtime.streaming_model import StreamingModel as StreamingModel
from plainspeech.transcript import Segment as Segment
from plainspeech.transcript import Transcript as Transcript
from plainspeech.transcript import Word as Word

__version__: str
__all__: list[str]
