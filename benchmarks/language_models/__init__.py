"""The estimation of language models."""
