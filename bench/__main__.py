"""`python -m bench`: every measurement at its default size."""

from bench import pg_fetch

if __name__ == "__main__":
    pg_fetch.main()
