"""Results as files: export and import."""
