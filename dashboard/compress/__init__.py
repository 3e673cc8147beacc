"""Parts of the page that compresses."""
