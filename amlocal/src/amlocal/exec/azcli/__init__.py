"""What the `az` of `aml exec` knows beside `az ml`: az's commands, what they answer, what is kept for later ones."""
