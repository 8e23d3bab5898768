"""Measurements; README.md says what each measures, and how to make its data."""
