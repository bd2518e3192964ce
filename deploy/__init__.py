"""What runs and watches Midstream. No code of the product is here, and the product imports nothing of it."""
