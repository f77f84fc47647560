"""The states of a datablock. docs/states/datablock.md is drawn from this."""

from enum import IntEnum

from shared.runtime.machine import Machine


class BlockState(IntEnum):
    """How far a datablock is. Others see it from REGISTERED on."""

    PLANNED = 1
    PACKED = 2  # in staging
    REGISTERED = 3
    STORED = 4  # on long-term storage
    VALIDATED = 5  # read back from there, whole
    DAMAGED = 6  # found there other than it was written, or not at all


S = BlockState

BLOCK = Machine(
    "datablock",
    S.PLANNED,
    {
        "pack": (frozenset({S.PLANNED}), S.PACKED),
        "register": (frozenset({S.PACKED}), S.REGISTERED),
        "store": (frozenset({S.REGISTERED}), S.STORED),
        "validate": (frozenset({S.STORED}), S.VALIDATED),
        "take back": (frozenset({S.STORED, S.VALIDATED}), S.REGISTERED),
        "damage": (frozenset({S.VALIDATED}), S.DAMAGED),
        "heal": (frozenset({S.DAMAGED}), S.VALIDATED),
        "repack": (frozenset({S.DAMAGED}), S.REGISTERED),
        "give up": (frozenset({S.REGISTERED, S.STORED}), S.DAMAGED),
    },
    kind=S,
    sets={"visible": frozenset({S.REGISTERED, S.STORED, S.VALIDATED, S.DAMAGED})},
)
