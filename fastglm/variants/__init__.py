"""What a variant is, where compressed ones are kept, and the one loader."""
