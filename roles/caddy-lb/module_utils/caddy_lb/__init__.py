"""What the modules of this role share."""
