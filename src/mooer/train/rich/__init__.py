"""Training of heads on a frozen encoder: recipes of `kind: rich`, by the same run and loop."""
