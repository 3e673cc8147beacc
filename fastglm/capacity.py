"""The number of tokens that the fast engine's buffers have room for, as data: pages compute with it, without torch."""

# The window that a step reads is a multiple of this, so that its shapes stay the same for as many steps.
STEP = 64
ROOM = 128  # tokens that the buffers of an answer hold beyond the prompt before they grow


def whole_steps(tokens: int) -> int:
    """The next multiple of `STEP`."""
    return -(-tokens // STEP) * STEP


def capacity_after(prompt: int, answer: int, prefix: int = 0) -> int:
    """Tokens that the fast engine's buffers hold at the end of an answer; all lengths in tokens.

    prefix: a learned prefix, which is kept before the prompt.
    """
    prompt += prefix
    capacity = whole_steps(prompt + min(answer, ROOM))
    while capacity < prompt + answer - 1:  # the last token is not run, and needs no room
        capacity *= 2
    return capacity
