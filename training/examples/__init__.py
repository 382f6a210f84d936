"""Example conversations: the model's turns are written by hand, all else is what the platform did
when it ran them."""
