"""Rules of decoding that no single engine owns."""
