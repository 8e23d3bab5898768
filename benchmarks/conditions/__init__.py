"""What recordings under other conditions than a quiet studio's cost."""
