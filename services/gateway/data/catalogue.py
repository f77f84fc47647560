"""`/data/v1/…`, and still `/catalogue/api/v3/…`: datasets, their files, datablocks and jobs. A pid's slash is written %2F.

The second address is where SciCat's own contract will be: until then it answers as the first does, and nothing of ours uses it.
"""

from services.gateway.http.route import Route, rpc
from shared.contracts.endpoints import catalogue as e


def routes(root: str) -> list[Route]:
    """The same routes under another address."""
    dataset = f"{root}/datasets/{{pid}}"
    return [
        rpc("POST", f"{root}/datasets", e.DATASET_CREATE, status=201),
        rpc("GET", f"{root}/datasets", e.DATASET_LIST),
        rpc("GET", dataset, e.DATASET_GET),
        rpc("GET", f"{dataset}/datablocks", e.DATABLOCK_LIST),
        rpc("GET", f"{dataset}/files", e.DATABLOCK_FILES),
        rpc("POST", f"{root}/origdatablocks", e.ORIGDATABLOCK_CREATE, status=201),
        rpc("POST", f"{root}/jobs", e.JOB_CREATE, status=201),
        rpc("GET", f"{root}/jobs/{{job}}", e.JOB_GET),
    ]
