"""What a text that has to match a pattern looks like: errors show an example, not the pattern."""

import ast
import re
from typing import Any, Final, get_args

from shared.contracts.catalogue import Pid
from shared.contracts.compute.options import AppText, Function, Label, Name, PartitionName
from shared.contracts.compute.results import Sha256
from shared.contracts.work import WorkerName


def _pattern(text: Any) -> str:
    return str(get_args(text)[1].pattern)


EXAMPLES: Final = {
    _pattern(
        Pid
    ): "a pid such as '20.500.12345/a3f1' or 'night-1': letters, digits, '_', '.', '-', and at most one '/'",
    _pattern(Name): "a name such as 'users' or 'flat.fits': letters, digits, '_', '.', '-'",
    _pattern(PartitionName): "a name such as 'gpu' or 'site-a': lower-case letters, digits, '_', '-'",
    _pattern(Function): "a function such as 'measure' or 'module:measure': letters, digits, '_', '.', ':', '-'",
    _pattern(WorkerName): "a name such as 'worker-1': letters, digits, '_', '-'",
    _pattern(Sha256): "a SHA-256 in hex: 64 of 0 to 9 and a to f",
    _pattern(Label): "a text without control characters",
    _pattern(AppText): "a text without control characters",
}
"""What to say instead of a pattern."""
_REGEX = re.compile(r"`str` matching regex ('.*?'|\".*?\")(?=$| - at )")


def with_example(message: str) -> str:
    """What msgspec says of a text that does not match, with an example instead of the pattern, where there is one."""
    found = _REGEX.search(message)
    example = EXAMPLES.get(ast.literal_eval(found[1])) if found else None
    return (
        message if found is None or example is None else f"{message[: found.start()]}{example}{message[found.end() :]}"
    )
