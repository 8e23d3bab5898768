"""Transcription over HTTP and WebSocket. No torch."""
