"""What the detector found, in words."""
