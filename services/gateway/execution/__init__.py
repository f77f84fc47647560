"""`/execution/v1`: worksteps, and offers for them from every site."""
