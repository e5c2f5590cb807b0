"""One run of the scoring job: a grid is cut into shards, workers score them and write part files.

Only the modules named `ray_...` use Ray; `ray_environment` does so without importing it.
"""
