"""The jobs of the training pipeline, one a file, and what they share."""
