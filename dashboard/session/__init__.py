"""One visitor's conversation, answers and browser tab."""
