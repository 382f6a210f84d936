"""What answers: each engine implements `port.Engine`."""
