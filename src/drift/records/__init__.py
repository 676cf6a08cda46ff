"""What an endpoint collected, read back."""
