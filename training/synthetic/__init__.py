"""Schemas that a seed gives, questions of them with known answers, and what the rules engine makes
of them: as many conversations as one wants, without anybody's data."""
