"""Reading a model's reply: pure text in, cells and final answers out."""
