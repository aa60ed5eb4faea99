"""What the person intends: nexus.yml, read and validated."""
