"""Quality: what a model answers to held-out questions, and how likely it finds the right answers."""
