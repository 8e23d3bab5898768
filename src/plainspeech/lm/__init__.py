"""N-gram language models: from text to a model, from a model to a scorer. No torch."""
