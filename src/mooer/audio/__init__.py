"""Sound: read any container, cut, resample, turn into features, find speech."""
