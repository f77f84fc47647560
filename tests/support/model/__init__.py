"""The model that the property tests compare the scheduler with, and the two ways to walk through it."""
