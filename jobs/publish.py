"""`naswot-ray publish` as a Ray job, with the same options.

Submit it with `ray job submit --working-dir . -- python jobs/publish.py ...`.
"""

import sys

from naswot_ray.cli import app

if __name__ == "__main__":
    app(["publish", *sys.argv[1:]], prog_name="jobs/publish.py")
