"""`ray job submit --working-dir . -- python jobs/search.py ...`: `naswot-ray search`, with the same options."""

import sys

from naswot_ray.cli import app

if __name__ == "__main__":
    app(["search", *sys.argv[1:]], prog_name="jobs/search.py")
