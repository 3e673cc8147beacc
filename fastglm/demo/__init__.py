"""The embedded demo model: its skills, corpus, tokenizer and checkpoint."""
