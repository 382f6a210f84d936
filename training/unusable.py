"""The one exception of training's commands for what they are given."""


class Unusable(Exception):
    """Data, a model, an adapter or a setting that cannot be used. The text says what to do, and
    shows nothing of the data."""
