"""FAST-ChatGLM: load, compress and run ChatGLM fast.

Importing this package registers ChatGLM with transformers, so that its Auto classes read every supported checkpoint.
"""

from .models import register

register()
