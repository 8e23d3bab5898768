"""Model bundles and scorers on disk: a folder of files, or one zip of it, and the record of them.

The record is JSON that carries its own SHA-256 and those of the files beside it. It is checked key
by key, and the files that it lists are checked when they are read; of those in a folder each
version once (`plainspeech.verified_files`). Errors are of the class of the kind: `ModelError` for a
bundle, for example.
"""
