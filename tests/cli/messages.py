"""Read ``messages.txt``: what wrong commands are told, pinned word by word."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("messages.txt")


@dataclass(frozen=True)
class Case:
    """A wrong command, where one is written down, and what it is told."""

    name: str
    command: str
    message: str

    def matches(self, message: str) -> bool:
        """Tell whether a message is this one, in which ... stands for any words."""
        pattern = ".*".join(re.escape(part) for part in self.message.split("..."))
        return re.fullmatch(pattern, message) is not None


def read_sections() -> dict[str, dict[str, Case]]:
    """All cases by section and name."""
    _, *parts = re.split(r"^== (.*) ==$", FILE.read_text(), flags=re.MULTILINE)
    names, texts = parts[::2], parts[1::2]
    return {
        name: {case.name: case for case in read_cases(text)}
        for name, text in zip(names, texts, strict=True)
    }


def read_cases(text: str) -> Sequence[Case]:
    cases = []
    for block in re.split(r"^# ", text, flags=re.MULTILINE)[1:]:
        name, *lines = block.strip().splitlines()
        command = ""
        if lines[0].startswith("$ tangrid "):
            command = lines.pop(0).removeprefix("$ tangrid ")
        cases.append(Case(name, command, " ".join(lines)))
    return cases


MESSAGES = read_sections()
