"""Tasks and their prompts: what a model is asked, and how its answer is read."""
