"""What the broker of a site asks in the site's own name. A site has one partition: that of its own name."""

from typing import Final

from shared.contracts import compute as c
from shared.contracts.delegation import Granted
from shared.contracts.endpoint import Change, Query
from shared.contracts.execution import OfferRef
from shared.contracts.permissions import AT_SITE

SITE_ENTER: Final = Change(
    "scheduler",
    "site",
    "enter",
    c.PartitionRef,
    c.Partition,
    AT_SITE,
    "Makes the partition of a site, if it is not there.",
)
SITE_PARTITION: Final = Query(
    "scheduler", "site", "partition", c.PartitionRef, c.Partition, AT_SITE, "The partition of a site, and its workers."
)
SITE_GRANT: Final = Query(
    "gateway",
    "site",
    "grant",
    OfferRef,
    Granted,
    AT_SITE,
    "A delegation with which a site goes on with an offer of its own that was accepted.",
)
