"""Trained speech LLMs as files that other programs run."""
