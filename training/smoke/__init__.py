"""The whole way from conversations to an answer, with a model small enough for a CPU."""
