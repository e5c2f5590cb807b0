"""One invocation of the scoring job: grid -> shards -> workers -> parts. Ray is imported in `ray_pool` only."""
