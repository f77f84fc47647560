"""The text of an exception of a task's code, whatever its own methods do.

An exception is the code's own: its class, its `__str__` and what that returns may do anything but stay out of this module.
"""

import os
import traceback
from types import TracebackType

from shared.runtime.plain import plain

MOST = 4000
"""Characters of a text that is reported."""
FRAMES, TRACE, CHAIN = 100, 16 * 1024, 20
"""Limits of a traceback: the last calls of each exception, characters, exceptions that caused each other."""
_OWN = os.path.dirname(__file__) + os.sep
_LIBRARY = os.path.dirname(os.__file__) + os.sep
_name = type.__dict__["__name__"].__get__  # whatever a metaclass says


class TaskError(Exception):
    """Raise it in a function to fail a task with a text of your own; any other exception does too, with its name."""


def describe(error: BaseException) -> str:
    """An error as its task shows it: class, text, and the place in the task's code. Never raises."""
    text = _text(error)
    if issubclass(type(error), TaskError):
        return text
    place = _place(error)
    return plain("".join([_name(type(error))[:200], f": {text}" if text else "", f" ({place})" if place else ""]))


def trace(error: BaseException) -> str:
    """The traceback of an error, from the task's own code on; empty for a TaskError, which says what it wants to. Never raises."""
    if issubclass(type(error), TaskError):
        return ""
    try:
        if not _short(error):
            return ""
        found = traceback.TracebackException(
            type(error), error, _users(error.__traceback__), limit=-FRAMES, compact=True
        )
        return plain("".join(found.format()))[-TRACE:]
    except BaseException as other:  # its own text may raise whatever it likes
        return f"(no traceback: {_name(type(other))})\n"


def _text(error: BaseException) -> str:
    try:
        return plain(str.__str__(str(error))[:MOST])
    except BaseException as other:
        return f"(no text: its __str__ raised {_name(type(other))})"


def _place(error: BaseException) -> str:
    """The last call in it that is neither in our own code nor in Python's library, as `file:line`."""
    found, entry = "", error.__traceback__
    while entry is not None:
        file = entry.tb_frame.f_code.co_filename
        if not file.startswith(_OWN) and (not file.startswith(_LIBRARY) or "site-packages" in file):
            found = f"{os.path.basename(file)}:{entry.tb_lineno}"
        entry = entry.tb_next
    return found


def _users(entry: TracebackType | None) -> TracebackType | None:
    """From the first call on that is the task's."""
    while entry is not None and entry.tb_frame.f_code.co_filename.startswith(_OWN):
        entry = entry.tb_next
    return entry


def _short(error: BaseException) -> bool:
    """Whether few exceptions led to it."""
    seen: list[BaseException | None] = [error]
    for each in seen:
        if each is not None:
            seen += [each.__cause__, each.__context__]
        if len(seen) > 2 * CHAIN:
            return False
    return True
