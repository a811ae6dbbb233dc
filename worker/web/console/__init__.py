"""The console: pages for the people who answer for refunds, rendered here, without a script in them."""
