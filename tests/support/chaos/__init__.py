"""What the chaos tests stand on: work that goes on while something breaks, and what must be true of it afterwards."""
