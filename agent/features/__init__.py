"""Features: what the windows of a stream come to. One file a family; numpy only, streaming."""
