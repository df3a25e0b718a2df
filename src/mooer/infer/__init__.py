"""Where the rooms meet: sound in, transcripts out."""
