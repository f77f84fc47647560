"""`python -m deploy.s3 <user> [--bucket headrace] [--imports shelf/,…]`: the policy of a user's key, for a store of your own."""

import argparse
import json

from deploy.s3.permissions import RIGHTS, policy
from services.scheduler.compute.results.imports import prefixes


def main() -> None:
    """Prints the policy as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.s3", description="Prints what a key of the object store needs."
    )
    parser.add_argument("user", choices=tuple(RIGHTS), help="whose key")
    parser.add_argument("--bucket", default="headrace", help="the bucket of HEADRACE_S3_BUCKET (headrace)")
    parser.add_argument("--imports", default="", help="as HEADRACE_IMPORT_PREFIXES")
    options = parser.parse_args()
    print(json.dumps(policy(options.user, options.bucket, prefixes(options.imports)), indent=2))


if __name__ == "__main__":
    main()
