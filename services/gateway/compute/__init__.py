"""`/compute/v1`: sessions, submissions, results, tasks, partitions."""
