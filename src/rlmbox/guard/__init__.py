"""What may leave: secrets, personal data, copies of the context, and how much."""
