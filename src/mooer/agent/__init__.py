"""A voice agent: it listens, thinks and speaks, may be interrupted, and knows what was heard."""
