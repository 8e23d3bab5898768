"""The inner loops of the beam search. Only modules here and `plainspeech.lm` import numba."""
