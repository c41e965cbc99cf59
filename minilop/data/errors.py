"""The one exception of the data room."""


class DataError(ValueError):
    """Data that cannot be used: one sentence naming the file, what was expected and found, and the remedy."""
