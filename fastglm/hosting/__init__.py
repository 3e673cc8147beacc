"""Hosting: a loaded variant in a process of its own, its clients, and the lease on a device."""
