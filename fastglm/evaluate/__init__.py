"""Quality of a model: its answers to held-out questions, and its likelihood of the right answers."""
