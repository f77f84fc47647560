"""Completion: reports of workers end tasks and release those that waited for them."""
