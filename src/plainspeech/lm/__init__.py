"""N-gram language models: estimating, pruning, reading and querying them. No torch."""
