"""A server under load: the requests, their clients, and figures from recorded times."""
