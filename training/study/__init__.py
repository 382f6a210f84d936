"""A small model, its weights random at first, trained for some minutes on conversations of the
rules engine over schemas of seeds, and asked questions of schemas that it has not seen."""
