"""Looks through a pickle before it is opened, for what no reader could bear whatever it admits."""

from __future__ import annotations

import pickletools
from typing import BinaryIO

_PUTS, _GETS = ("PUT", "BINPUT", "LONG_BINPUT"), ("GET", "BINGET", "LONG_BINGET")
_TUPLES = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")


def check_pickle(file: BinaryIO, size: int) -> None:
    """Look through the pickle that begins where a file is, up to its end. Nothing is opened or executed.

    size: the number of its bytes. A memo index beyond it would make the unpickler reserve memory without need. A tuple
    that has more parts than there are bytes, each tuple inside counted with all of its own, names some of them many
    times over: a hundred bytes can describe one that takes years to hash. Raises ValueError for both.
    """
    stack: list[int | None] = []  # how many parts each value on the unpickler's stack has; None for a mark
    memo: dict[int, int] = {}
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in _PUTS and int(argument or 0) >= size:
            raise ValueError(f"asks for {argument} places in memory, expected less than its {size} bytes")
        if opcode.name in _PUTS or opcode.name == "MEMOIZE":
            memo[len(memo) if argument is None else int(argument)] = (stack and stack[-1]) or 1
        elif opcode.name in _GETS:
            stack.append(memo.get(int(argument or 0), 1))
        elif opcode.name == "DUP":
            stack.append(stack[-1] if stack else 1)
        else:
            parts = 1 + sum(_taken(stack, opcode))
            if parts > size and opcode.name in _TUPLES:
                raise ValueError(f"names a tuple of {parts} parts in its {size} bytes")
            for made in opcode.stack_after:
                whole = parts if opcode.name in _TUPLES else 1
                stack.append(None if made is pickletools.markobject else whole)


def _taken(stack: list[int | None], opcode: pickletools.OpcodeInfo) -> list[int]:
    """Take from the stack what an opcode takes."""
    taken: list[int] = []
    for kind in reversed(opcode.stack_before):
        if kind is pickletools.stackslice:
            continue  # all down to the mark, which comes next
        if kind is pickletools.markobject:
            while stack and (value := stack.pop()) is not None:
                taken.append(value)
        elif stack:
            taken.append(stack.pop() or 0)
    return taken
