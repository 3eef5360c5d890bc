"""Models of the chips at register level, each after its data sheet; on a real kernel bus and in tests alike.

A model is an object of `base.Chip`: it takes write and read messages, and can be told to fail. All time
comes from the caller. ``wire.Wire`` puts several of them, and a multiplexer, on one bus.
"""
