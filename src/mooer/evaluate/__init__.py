"""Error rates, scores and reports."""
