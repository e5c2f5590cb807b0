"""Readers that turn official benchmark files into accuracy tables. One module for each file format."""
