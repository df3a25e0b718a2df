"""Weights: a catalog, the places they come from, and a verified cache."""
