"""How good a recogniser is: alignments, error rates, BLEU, confidence, reports."""
