"""`/archiver/api/v1`: uploads, giving them up, and why a dataset is where it is."""

from services.gateway.http.route import rpc
from services.gateway.identity.auth import DATA_READ, DATA_WRITE
from shared.contracts import catalogue as k

ROOT = "/archiver/api/v1"
SERVICE = "archiver"

ROUTES = [
    rpc(
        "POST",
        f"{ROOT}/upload/urls",
        DATA_WRITE,
        "upload.sign",
        k.UploadSign,
        k.UploadUrls,
        "Addresses to upload registered files to, one PUT each.",
        service=SERVICE,
    ),
    rpc(
        "GET",
        f"{ROOT}/datasets/{{pid}}/uploads",
        DATA_READ,
        "upload.list",
        k.UploadQuery,
        k.UploadPage,
        "Registered files, and which of them are uploaded.",
        service=SERVICE,
    ),
    rpc(
        "POST",
        f"{ROOT}/upload/finished",
        DATA_WRITE,
        "upload.finish",
        k.DatasetRef,
        k.Dataset,
        "Everything is uploaded: datablocks are made of it now.",
        service=SERVICE,
    ),
    rpc(
        "POST",
        f"{ROOT}/datasets/{{pid}}/abandon",
        DATA_WRITE,
        "dataset.abandon",
        k.DatasetAbandon,
        k.Abandoned,
        "Gives up a dataset that is not archived: its pid is free again, its bytes are removed.",
        service=SERVICE,
    ),
    rpc(
        "GET",
        f"{ROOT}/datasets/{{pid}}/explain",
        DATA_READ,
        "dataset.explain",
        k.DatasetRef,
        k.DatasetState,
        "Why a dataset is where it is.",
        service=SERVICE,
    ),
]
