"""How far long work is: told, drawn as a bar, or written as JSON lines."""
