"""The examination: scenes made from physics and real backgrounds, and what the agent says of them."""
