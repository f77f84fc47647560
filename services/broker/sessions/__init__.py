"""The execution sessions that accepted offers become."""
