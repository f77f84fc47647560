"""What in docs/ is made from the code: `python -m deploy.generate` writes it, `--check` fails with a diff where it is stale.

Each module makes some of the files from what runs: state machines, contracts, permissions, log calls.
"""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


class Missing(Exception):
    """Something that only a person can write is not there; the message says what and where."""
