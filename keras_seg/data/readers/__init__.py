"""Readers: one layout on disk each, each makes a Source."""
