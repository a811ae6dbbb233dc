"""What leaves for others: announcements to the product, letters to customers."""
