"""`/archiver/api/v1`: uploads, giving them up, and why a dataset is where it is."""

from typing import Final

from services.gateway.http.route import rpc
from shared.contracts.endpoints import catalogue as e

ROOT: Final = "/archiver/api/v1"
DATASET: Final = f"{ROOT}/datasets/{{pid}}"

ROUTES: Final = [
    rpc("POST", f"{ROOT}/upload/urls", e.UPLOAD_SIGN),
    rpc("GET", f"{DATASET}/uploads", e.UPLOAD_LIST),
    rpc("POST", f"{ROOT}/upload/finished", e.UPLOAD_FINISH),
    rpc("POST", f"{DATASET}/abandon", e.DATASET_ABANDON),
    rpc("GET", f"{DATASET}/explain", e.DATASET_EXPLAIN),
]
