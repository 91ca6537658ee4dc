"""Does what a page of docs/contributing says: writes the files, and changes those that are there.

The last path in the text before a block says which file it is about. A block of a language is a whole new file; a diff
has lines to add and to remove between lines that are there, which must be found once.
"""

import re
from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PATH = re.compile(r"`((?:\w+/)+\w+\.\w+)`")


def follow(page: Path, tree: Path) -> list[Path]:
    """Change the tree as the page says; returns the files that it wrote or changed, in order."""
    text, changed, read = page.read_text(encoding="utf-8"), [], 0
    for block in _BLOCK.finditer(text):
        language, content = block.groups()
        named = _PATH.findall(text, read, block.start())
        read = block.end()
        if language == "text":
            continue
        path = tree / named[-1] if named else changed[-1]
        path.write_text(_patched(path, content) if language == "diff" else content, encoding="utf-8")
        changed.append(path)
    return list(dict.fromkeys(changed))


def commands(page: Path) -> list[str]:
    """The commands that the page asks for."""
    blocks = [content for language, content in _BLOCK.findall(page.read_text(encoding="utf-8")) if language == "text"]
    return [line for block in blocks for line in block.splitlines()]


def _patched(path: Path, diff: str) -> str:
    lines = diff.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] != "+")
    new = "".join(line[1:] for line in lines if line[0] != "-")
    text = path.read_text(encoding="utf-8")
    assert f"\n{text}".count(f"\n{old}") == 1, f"{path}: not once there: {old}"
    return f"\n{text}".replace(f"\n{old}", f"\n{new}")[1:]
