"""Offers: what a site can give, what it has promised, and what became of it."""
