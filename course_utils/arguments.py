"""What functions of several rooms ask of their arguments, said in the same words."""

from __future__ import annotations


def whole_numbers(**named: int) -> None:
    """Raise a ValueError unless each is a whole number from 1.

    Examples
    --------
    >>> whole_numbers(D=64, K=2)
    """
    for name, value in named.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is {value!r}; expected a whole number from 1")
