"""What is asked of the retriever."""

from typing import Final

from shared.contracts import retrieval as r
from shared.contracts.endpoint import Command, Query
from shared.contracts.permissions import DATA_READ, DATA_WRITE

RETRIEVER: Final = "retriever"

RETRIEVAL_CREATE: Final = Command(
    RETRIEVER,
    "retrieval",
    "create",
    r.RetrievalCreate,
    r.Retrieval,
    DATA_WRITE,
    "Brings a dataset back from long-term storage, for people or as results of a session.",
)
RETRIEVAL_GET: Final = Query(
    RETRIEVER, "retrieval", "get", r.RetrievalRef, r.Retrieval, DATA_READ, "How a retrieval goes."
)
RETRIEVAL_URLS: Final = Query(
    RETRIEVER, "retrieval", "urls", r.DownloadQuery, r.Downloads, DATA_READ,
    "Addresses to download the datablocks from, page by page.",
)  # fmt: skip
