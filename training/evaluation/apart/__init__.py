"""The half of the question set that is kept apart: whoever improves an engine does not read it."""

from training.evaluation.apart import education, energy, health, logistics, support

DOMAINS = (logistics.domain, health.domain, education.domain, energy.domain, support.domain)
