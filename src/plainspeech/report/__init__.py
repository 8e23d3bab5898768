"""One static page of what evaluations found: errors, comparisons, figures and recordings."""
