"""Stdout and stderr: escapes, line breaks, and readers that have ended."""

import errno
import io
import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

_COMMAND = re.compile(r"`|\bclearctl [a-z]")


class EscapingConsole(Console):
    """Escapes what comes from file names, metadata, servers and users' code, which may hold terminal commands.

    On a terminal a text is wrapped between words, unless it has a command to be copied.
    """

    def print(self, *objects: Any, soft_wrap: bool | None = None, **options: Any) -> None:
        """As rich does it; with `soft_wrap` the terminal alone breaks lines."""
        if soft_wrap is None and self.is_terminal:
            objects = tuple(self._filled(each) if isinstance(each, str | Text) else each for each in objects)
        super().print(*objects, soft_wrap=soft_wrap, **options)

    def _filled(self, text: str | Text) -> Text:
        filled = self.render_str(text) if isinstance(text, str) else text.copy()
        if not _COMMAND.search(filled.plain):
            filled.plain = "\n".join(fill(line, self.width) for line in filled.plain.split("\n"))
        return filled

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """The segments of `renderable`; those of rich that move the cursor stay as they are."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(escaped(segment.text), segment.style)


def fill(line: str, width: int) -> str:
    """`line` with blanks replaced by line ends, so that what fits `width` is not broken within a word."""
    start = 0
    while len(line) - start > width:
        indent = len(line[start:]) - len(line[start:].lstrip())
        end = line.rfind(" ", start + indent + 1, start + width + 1)
        end = line.find(" ", start + width) if end < 0 else end
        if end < 0:
            break
        line = f"{line[:end]}\n{line[end + 1 :]}"
        start = end + 1
    return line


def escaped(text: str) -> str:
    """`text` with control characters and surrogates as Python writes them; line ends stay."""
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(character: str) -> str:
    is_command = unicodedata.category(character) in ("Cc", "Cs") or character in _DIRECTIONS
    return character.encode("unicode_escape").decode() if is_command and character != "\n" else character


_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # which reorder what follows


class ResultConsole(EscapingConsole):
    """Stdout. When its reader has ended (`| head -1`), a command ends too."""

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError, like any other write; it ends a command quietly."""
        raise BrokenPipeError


class MessageConsole(EscapingConsole):
    """Stderr. When its reader has ended (Ctrl-C ends `tee` too), a command continues and prints nothing."""

    def on_broken_pipe(self) -> None:
        """Write nothing more, not even as the interpreter ends."""
        self.quiet = True
        write_nowhere(sys.stderr)


def write_any_character() -> None:
    """Write characters that stdout or stderr cannot encode, as in a plain C locale, as Python escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def silence_output() -> None:
    """Print nothing more from this process."""
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 it is closed at the end of the process


def write_nowhere(stream: TextIO) -> None:
    """Else the interpreter tries to write the rest of an unread stream at its end, and reports that it cannot."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def is_full_output(error: OSError) -> bool:
    """Whether a stream, not a named file, can no longer be written."""
    return error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
