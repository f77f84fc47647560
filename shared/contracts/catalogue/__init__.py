"""Datasets, their files, datablocks and jobs: what is asked of the archiver. Version 3.

The names are SciCat's own (`ownerGroup`, `datasetlifecycle`, `archiveStatusMessage`), and so are the values of every status;
what SciCat leaves to free text is an enum here.
The operations are in `shared/contracts/endpoints/catalogue.py`; docs/endpoints.md is the table made from it.

Version 2: files of one datablock (`FileQuery.datablock`); paths are limited in bytes; uploads can be looked at
(`upload.list`), corrected (`OrigDatablockCreate.replace`) and abandoned. What is found damaged on long-term storage is reported
and named (`DatablockReport`, `Damage`, `Datablock.status`, `Located.damaged`).
Version 3: datasets are searched and filtered (`DatasetList`).
"""

from typing import Final

from shared.contracts.catalogue.datablocks import (
    Damage,
    Datablock,
    DatablockPage,
    DatablockQuery,
    DatablockReport,
    FilePage,
    FileQuery,
    StoredFile,
)
from shared.contracts.catalogue.datasets import (
    Abandoned,
    Dataset,
    DatasetAbandon,
    DatasetCreate,
    DatasetList,
    DatasetPage,
    DatasetRef,
    DatasetState,
    Lifecycle,
    LifecycleUpdate,
    Located,
)
from shared.contracts.catalogue.files import DataFile, OrigDatablock, OrigDatablockCreate
from shared.contracts.catalogue.jobs import Job, JobCreate, JobRef, JobUpdate
from shared.contracts.catalogue.names import (
    LONGEST_PATH,
    MOST_FILES,
    ArchiveStatus,
    Camel,
    DamageKind,
    DatablockStatus,
    FilePath,
    JobStatus,
    JobType,
    Pid,
    RetrieveStatus,
    Sha256,
    Size,
)
from shared.contracts.catalogue.uploads import UploadFile, UploadPage, UploadQuery, UploadSign, UploadUrl, UploadUrls

VERSION: Final = 4

__all__ = [
    "LONGEST_PATH",
    "MOST_FILES",
    "VERSION",
    "Abandoned",
    "ArchiveStatus",
    "Camel",
    "Damage",
    "DamageKind",
    "DataFile",
    "Datablock",
    "DatablockPage",
    "DatablockQuery",
    "DatablockReport",
    "DatablockStatus",
    "Dataset",
    "DatasetAbandon",
    "DatasetCreate",
    "DatasetList",
    "DatasetPage",
    "DatasetRef",
    "DatasetState",
    "FilePage",
    "FilePath",
    "FileQuery",
    "Job",
    "JobCreate",
    "JobRef",
    "JobStatus",
    "JobType",
    "JobUpdate",
    "Lifecycle",
    "LifecycleUpdate",
    "Located",
    "OrigDatablock",
    "OrigDatablockCreate",
    "Pid",
    "RetrieveStatus",
    "Sha256",
    "Size",
    "StoredFile",
    "UploadFile",
    "UploadPage",
    "UploadQuery",
    "UploadSign",
    "UploadUrl",
    "UploadUrls",
]
