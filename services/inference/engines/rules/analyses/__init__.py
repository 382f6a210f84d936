"""The analyses: each writes a program, and tells what the numbers that it printed mean."""
