"""Progress of long work: passed to a function, drawn as a bar, or written as JSON lines."""
