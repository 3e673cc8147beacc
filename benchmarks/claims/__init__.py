"""Claims of this project, each measured anew."""
