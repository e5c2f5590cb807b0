"""One invocation of the scoring job: grid -> shards -> workers -> parts. Only `ray_pool` and `ray_metrics` import Ray."""
