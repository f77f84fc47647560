"""The state of the archiver's chains. How far a chain is can be seen in the rows of the datablocks, not here."""

from uuid import UUID

import msgspec

from shared.chain.store import OperationOf


class OfDataset(msgspec.Struct, frozen=True):
    """`job`: the catalogue's job whose work the chain is; the post-upload chain has none. `stopped`: the chain that is stopped for this one.
    `storage`: where the datablocks of an abandoned dataset were to lie; empty if it had none."""

    dataset: UUID
    pid: str
    owner: str
    job: UUID | None = None
    stopped: UUID | None = None
    storage: str = ""

    def shown_as(self, kind: str) -> OperationOf:
        """The operation that a chain with this state is to the dataset's owner."""
        return OperationOf(kind, self.owner, f"datasets/{self.pid}")
