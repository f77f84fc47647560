"""What happens after an upload, and after a request to archive: the diagrams of the archival service, as chains.

Every step may run again: what is done is seen in the datablocks' rows, and bytes are written under keys of their own or are
the same bytes.
"""

from collections.abc import Iterator

import msgspec

from services.archiver.archive.abandonment import Abandoning
from services.archiver.archive.archival import Archiving
from services.archiver.archive.post_upload import PostUpload
from services.archiver.archive.repair import Repairing
from services.archiver.archive.retrieval import Forwarding
from services.archiver.archive.state import OfDataset
from shared.chain.declare import WHENEVER, Chain, critical, retry
from shared.runtime.retry import Backoff

SOON = Backoff(first=0.5, factor=2, ceiling=60)
"""Pauses between the tries of a step that must succeed in the end."""


class ArchiverChains(msgspec.Struct, frozen=True):
    """All chains of the archiver."""

    post_upload: Chain[OfDataset]
    archival: Chain[OfDataset]
    repair: Chain[OfDataset]
    retrieval: Chain[OfDataset]
    abandonment: Chain[OfDataset]

    def __iter__(self) -> Iterator[Chain[OfDataset]]:
        return iter((self.post_upload, self.archival, self.repair, self.retrieval, self.abandonment))


def declare(
    after: PostUpload, archive: Archiving, repair: Repairing, forward: Forwarding, abandon: Abandoning
) -> ArchiverChains:
    """The chains, made of their steps."""
    return ArchiverChains(
        post_upload=Chain(
            "post_upload", OfDataset,
            critical(after.create_datablocks),
            critical(after.upload_to_archivable_storage, undo=after.drop_datablocks),
            retry(after.register_datablocks, backoff=SOON),
            retry(after.update_lifecycle, backoff=SOON),
            on_user_error=after.report_missing_files,
            cancellable_before="register_datablocks",
        ),
        archival=Chain(
            "archival", OfDataset,
            retry(archive.job_forwarded, backoff=SOON),
            retry(archive.job_in_progress, backoff=SOON),
            retry(archive.lifecycle_started, backoff=SOON),
            critical(archive.move_datablocks_to_lts, undo=archive.delete_from_lts),
            critical(archive.validate_datablocks),
            retry(archive.mark_retrievable, backoff=SOON),
            retry(archive.job_finished, backoff=SOON),
            retry(archive.clear_staging_and_landing_zone),
            on_user_error=archive.report_failure, on_system_error=archive.report_failure,
            on_cancel=archive.report_failure, cancellable_before="mark_retrievable",
        ),
        repair=Chain(
            "repair", OfDataset,
            retry(archive.job_forwarded, backoff=SOON),
            retry(archive.job_in_progress, backoff=SOON),
            retry(archive.lifecycle_started, backoff=SOON),
            critical(repair.repack_damaged_datablocks, undo=repair.give_up),
            critical(archive.move_datablocks_to_lts),
            critical(archive.validate_datablocks),
            retry(repair.mark_repaired, backoff=SOON),
            retry(archive.job_finished, backoff=SOON),
            retry(archive.clear_staging_and_landing_zone),
            on_user_error=repair.report_failure, on_system_error=repair.report_failure, on_cancel=repair.report_failure,
            cancellable_before="mark_repaired",
        ),
        retrieval=Chain(
            "retrieve", OfDataset,
            retry(forward.hand_to_retriever, backoff=SOON),
            on_user_error=forward.report_failure, on_cancel=forward.cancel_retrieval,
            cancellable_before=WHENEVER,
        ),
        abandonment=Chain("abandonment", OfDataset, retry(abandon.remove_bytes, backoff=SOON)),
    )  # fmt: skip
