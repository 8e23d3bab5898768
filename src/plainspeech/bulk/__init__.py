"""Transcription of many recordings by many processes: resumable, with one row for each."""
