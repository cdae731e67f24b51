"""What ids are made of: the canonical form of values, and the code that a function reaches."""
