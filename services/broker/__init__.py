"""The broker. A site's agent: offers, reservations, execution sessions.

One process for a site, or replicas of it; sites that share a database keep to rows of their own. A site is also a partition
of its name: what is accepted here runs on that partition's workers. Read in this order: `offers/decide`
(what a site offers), `capacity` (and never twice), `machine` and `transitions` (what becomes of it), `sweep` (what time brings); then
`sessions/`, the compute sessions of accepted offers.
"""

__version__ = "0.1.0"
