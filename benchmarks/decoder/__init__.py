"""The beam search, beside others."""
