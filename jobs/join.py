"""`naswot-ray join` as a Ray job, with the same options.

Submit it with `ray job submit --working-dir . -- python jobs/join.py ...`.
"""

import sys

from naswot_ray.cli import app

if __name__ == "__main__":
    app(["join", *sys.argv[1:]], prog_name="jobs/join.py")
