"""What one transaction knows, locks, changes and writes."""
