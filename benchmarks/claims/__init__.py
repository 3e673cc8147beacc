"""Claims of this project, each measured again."""
