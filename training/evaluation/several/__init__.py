"""Questions that need the blobs and the tables together: to reconcile, enrich and convert, to join
what is written differently, and to follow a schema that changed."""

from training.evaluation.several import accounts, settlement, stock

DOMAINS = (settlement.domain, stock.domain, accounts.domain)
