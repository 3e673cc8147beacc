"""Parts of the pages that show results."""
