"""Sessions in pods of their own: who claims and drives them, and the way out of one."""
