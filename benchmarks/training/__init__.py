"""Training, beside the reference design as published."""
