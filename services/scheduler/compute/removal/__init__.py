"""Removal: sessions purged and deleted."""
