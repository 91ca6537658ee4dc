"""Looks through a pickle before it is opened, for what no reader could bear whatever it admits."""

from __future__ import annotations

import pickletools
from typing import BinaryIO, NamedTuple

_PUTS, _GETS = ("PUT", "BINPUT", "LONG_BINPUT"), ("GET", "BINGET", "LONG_BINGET")
_TUPLES = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")
_DEEPEST = 100  # tuples inside one another; to hash or to print one takes a stack as deep


class _Value(NamedTuple):
    """A value on the unpickler's stack: how many parts it has, and how many tuples are inside one another in it."""

    parts: int = 1
    depth: int = 0


_PLAIN = _Value()


def check_pickle(file: BinaryIO, size: int) -> None:
    """Look through the pickle that begins where a file is, up to its end. Nothing is opened or executed.

    size: the number of its bytes. A memo index beyond it would make the unpickler reserve memory without need. A tuple
    that has more parts than there are bytes, each tuple inside counted with all of its own, names some of them many
    times over: a hundred bytes can describe one that takes years to hash. One in which too many tuples are inside one
    another would end the process. Raises ValueError for all of these.
    """
    stack: list[_Value | None] = []  # None for a mark
    memo: dict[int, _Value] = {}
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in _PUTS and int(argument or 0) >= size:
            raise ValueError(f"asks for {argument} places in memory, expected less than its {size} bytes")
        if opcode.name in _PUTS or opcode.name == "MEMOIZE":
            memo[len(memo) if argument is None else int(argument)] = (stack and stack[-1]) or _PLAIN
        elif opcode.name in _GETS:
            stack.append(memo.get(int(argument or 0), _PLAIN))
        elif opcode.name == "DUP":
            stack.append(stack[-1] if stack else _PLAIN)
        else:
            taken, made = _taken(stack, opcode), _PLAIN
            if opcode.name in _TUPLES:
                made = _Value(
                    1 + sum(value.parts for value in taken), 1 + max((value.depth for value in taken), default=0)
                )
            if made.parts > size:
                raise ValueError(f"names a tuple of {made.parts} parts in its {size} bytes")
            if made.depth > _DEEPEST:
                raise ValueError(f"has more than {_DEEPEST} tuples inside one another")
            stack += [None if kind is pickletools.markobject else made for kind in opcode.stack_after]


def _taken(stack: list[_Value | None], opcode: pickletools.OpcodeInfo) -> list[_Value]:
    """Take from the stack what an opcode takes."""
    taken: list[_Value] = []
    for kind in reversed(opcode.stack_before):
        if kind is pickletools.stackslice:
            continue  # all down to the mark, which comes next
        if kind is pickletools.markobject:
            while stack and (value := stack.pop()) is not None:
                taken.append(value)
        elif stack:
            taken.append(stack.pop() or _PLAIN)
    return taken
