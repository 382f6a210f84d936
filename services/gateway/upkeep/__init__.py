"""What keeps a gateway's state small, whole and recoverable: clearing, migrations, backups."""
