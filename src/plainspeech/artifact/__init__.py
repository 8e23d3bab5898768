"""Bundles and scorers on disk: folders or zips whose record has a hash of every file."""
