"""Models on fast runtimes, without torch."""
