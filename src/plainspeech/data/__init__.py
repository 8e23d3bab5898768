"""Corpora: download, manifests, checks, augmentation and batches."""
