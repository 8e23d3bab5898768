"""Corpora: download, manifests, checks and batches."""
