"""What comes from others: which versions, with which hashes and licences, and what is known against them."""
