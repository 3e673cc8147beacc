"""Results for people: tables, charts, comparisons."""
