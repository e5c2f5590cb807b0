"""Official benchmark files -> accuracy tables: one file format a module."""
