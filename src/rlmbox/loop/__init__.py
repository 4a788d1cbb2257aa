"""The loop: a question, turns of asking and executing, and an answer."""
