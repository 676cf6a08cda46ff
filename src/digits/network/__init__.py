"""The network: built, trained, packed, and described by a reference that travels with it."""
