"""Steps of written arithmetic before a result, each an equation that is true by itself.

Columns go from the right, a missing digit is 0, and a carry or borrow of 1 is the last term of the next column.
"""


def added_columns(left: int, right: int) -> list[str]:
    """The columns of a sum: 347+285 is 7+5=12, 4+8+1=13, 3+2+1=6."""
    steps, carry = [], 0
    while left or right:
        left, a = divmod(left, 10)
        right, b = divmod(right, 10)
        total = a + b + carry
        steps.append(f"{a}+{b}{'+1' if carry else ''}={total}")
        carry = total // 10
    return steps


def subtracted_columns(larger: int, smaller: int) -> list[str]:
    """The columns of a difference that is not negative: 632-285 is 12-5=7, 13-8-1=4, 6-2-1=3."""
    steps, borrow = [], 0
    while larger:
        larger, a = divmod(larger, 10)
        smaller, b = divmod(smaller, 10)
        short = a < b + borrow
        top = a + 10 * short
        steps.append(f"{top}-{b}{'-1' if borrow else ''}={top - b - borrow}")
        borrow = int(short)
    return steps


def partial_products(left: int, right: int) -> list[str]:
    """The steps of a product of two-digit numbers: 47×38 is 47×8=376, 47×3=141 and the columns of 376+1410."""
    tens, ones = divmod(right, 10)
    steps = [f"{left}×{digit}={left * digit}" for digit in (ones, tens) if digit]
    return steps + added_columns(left * ones, 10 * left * tens) if ones else steps
