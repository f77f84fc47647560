"""`/ops/v1`, `/health`, `/metrics`: for operators and probes."""
