"""What a user can put right: each message is one line that names the file and the remedy."""


class DataError(ValueError):
    """Digits, records or labels that cannot be read or used."""


class ModelError(ValueError):
    """A model that cannot be used."""


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what to change."""
