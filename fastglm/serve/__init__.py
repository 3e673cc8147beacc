"""HTTP: a variant for many people at once, by the published API and by OpenAI's."""
