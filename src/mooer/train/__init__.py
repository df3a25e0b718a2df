"""Training of a speech LLM from a recipe: stages, losses, parallelism, checkpoints, resume."""
