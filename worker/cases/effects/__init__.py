"""What is done outside once it is committed."""
