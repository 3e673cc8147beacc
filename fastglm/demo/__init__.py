"""The embedded demo model: the skills it is made of, its corpus, its tokenizer, and its checkpoint."""
