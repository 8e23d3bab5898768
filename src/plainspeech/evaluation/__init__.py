"""Error rates, their confidence intervals, and reports."""
