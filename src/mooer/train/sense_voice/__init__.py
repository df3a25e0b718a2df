"""Fine-tuning of SenseVoice: words by CTC, labels by cross-entropy."""
