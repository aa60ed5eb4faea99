"""What a node finds out about itself. Everything here only reads."""
