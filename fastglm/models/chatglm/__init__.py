"""ChatGLM-6B: config, tokenizer, conversation, positions and the model."""
