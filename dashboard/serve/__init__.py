"""Servers on this machine: started, watched and stopped from a page."""
