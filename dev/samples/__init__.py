"""Meridian Outdoor: a company that does not exist, with data that has something to be found in it.

Always the same data, from a fixed seed. What was planted, and what an analyst may find:

- sales peak in winter;
- Nordvik returns about twice as large a share of its orders as any other region;
- Halden Freight delivers late far more often than the other carriers, and serves chiefly Nordvik;
- late orders come back more often, mostly with the reason "late delivery";
- no region reaches its target of sales, Nordvik least of all.

`facts` computes the true answers from the same tables.
"""

from dev.samples.company import Company, generate
from dev.samples.facts import Facts, facts

__all__ = ["Company", "Facts", "facts", "generate"]
