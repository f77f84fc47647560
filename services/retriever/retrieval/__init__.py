"""Retrievals: what is asked of them, the chain that brings a dataset back, and its eviction."""
