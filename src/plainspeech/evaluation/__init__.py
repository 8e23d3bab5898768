"""Error rates, their uncertainty, and reports."""
