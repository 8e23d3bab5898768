"""Weights and thresholds of the beam search, optimised on a dev set."""
