"""What an agent can look up: a folder of documents by their meaning and words, or the web."""
