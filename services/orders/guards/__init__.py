"""What is checked before an order may go out."""
