"""The architectures, their checkpoints, and the registration of both with transformers."""
