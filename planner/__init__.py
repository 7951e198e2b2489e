"""The pure half of wanbound: a stack's configuration in, addresses and rules out as plain data."""
