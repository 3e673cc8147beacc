"""FAST-ChatGLM: load, compress and run ChatGLM fast."""
