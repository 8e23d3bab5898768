"""Figures of what a model hears: each function draws on matplotlib axes and returns them."""
