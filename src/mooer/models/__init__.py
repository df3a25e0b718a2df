"""Networks in torch: for training, for released checkpoints, and as the reference of the engines."""
