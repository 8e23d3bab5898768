"""How exactly texts are aligned with recordings, and what is found of planted disagreements."""
