"""Transcription of recordings, beside others."""
