"""Stdout and stderr: what may be written to them, and what happens where nobody reads them."""

import errno
import io
import os
import sys
import unicodedata
from collections.abc import Iterator
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment


class EscapingConsole(Console):
    """Escapes what comes from file names, metadata, servers and users' code, which may hold terminal commands."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """The segments of `renderable`; those of rich that move the cursor stay as they are."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(escaped(segment.text), segment.style)


def escaped(text: str) -> str:
    """`text` with control characters, and what is no character at all, as Python writes them; line ends stay."""
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(character: str) -> str:
    is_command = unicodedata.category(character) in ("Cc", "Cs") or character in _DIRECTIONS
    return character.encode("unicode_escape").decode() if is_command and character != "\n" else character


_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # which reorder what follows


class ResultConsole(EscapingConsole):
    """Stdout. Where nobody reads it any more (`| head -1`) a command has nothing left to do."""

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError as any other write does, with which a command ends quietly."""
        raise BrokenPipeError


class MessageConsole(EscapingConsole):
    """Stderr. Where nobody reads it any more (Ctrl-C ends `tee` too) a command continues and prints nothing."""

    def on_broken_pipe(self) -> None:
        """Let nothing more be written, not even by the interpreter as it ends."""
        self.quiet = True
        write_nowhere(sys.stderr)


def write_any_character() -> None:
    """Write characters that stdout or stderr cannot encode, in a plain C locale say, as Python writes them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def silence_output() -> None:
    """Print nothing more from this process."""
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 it is closed at the end of the process


def write_nowhere(stream: TextIO) -> None:
    """What is left of a stream that nobody reads would else be tried, and reported, as the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def is_full_output(error: OSError) -> bool:
    """Whether it says that nothing more can be written, and not to a file by its name."""
    return error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
