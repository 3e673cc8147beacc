"""The decode step as machine code for this CPU: compiled in another process and stored."""
