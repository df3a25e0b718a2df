"""Networks in torch: for training, for released checkpoints, as reference of the engines."""
