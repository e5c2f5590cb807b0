"""The grid of a run: points and shards, what a dataset holds of it, and the settings that decide a row. No torch, no Ray."""
