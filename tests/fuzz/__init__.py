"""A seeded fuzzer for everything that is read from files: `make fuzz MINUTES=10 SEED=7`."""
