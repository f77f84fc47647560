"""`/data/v1`: data management. Retrievals, for people and for sessions."""

from services.gateway.http.route import rpc
from services.gateway.identity.auth import DATA_READ, DATA_WRITE
from shared.contracts import retrieval as r
from shared.contracts.catalogue import DatasetRef, Located

ROOT = "/data/v1"
SERVICE = "retriever"

ROUTES = [
    rpc(
        "GET",
        f"{ROOT}/locate/{{pid}}",
        DATA_READ,
        "dataset.locate",
        DatasetRef,
        Located,
        "Which long-term storages hold a dataset, and how large it is.",
        service="archiver",
    ),
    rpc(
        "POST",
        f"{ROOT}/retrievals",
        DATA_WRITE,
        "retrieval.create",
        r.RetrievalCreate,
        r.Retrieval,
        "Brings a dataset back from long-term storage, for people or as results of a session.",
        status=201,
        service=SERVICE,
    ),
    rpc(
        "GET",
        f"{ROOT}/retrievals/{{retrieval}}",
        DATA_READ,
        "retrieval.get",
        r.RetrievalRef,
        r.Retrieval,
        "How a retrieval goes.",
        service=SERVICE,
    ),
    rpc(
        "GET",
        f"{ROOT}/retrievals/{{retrieval}}/urls",
        DATA_READ,
        "retrieval.urls",
        r.DownloadQuery,
        r.Downloads,
        "Addresses to download the datablocks from, page by page.",
        service=SERVICE,
    ),
]
