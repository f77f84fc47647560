"""What changes datasets: uploads, archive and retrieve jobs, repair, abandonment. One module for each chain, and one for each noun that users ask about."""
