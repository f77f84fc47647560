"""What is done to datasets: uploads, archive jobs, repair, and giving up; one module a chain, one a noun that users ask about."""
