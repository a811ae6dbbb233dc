"""Letters to customers, and the postboxes that take them away."""
