"""Language models as scorers: n-gram models, their files, and what text they score."""
