"""Long work that a page starts and watches."""
