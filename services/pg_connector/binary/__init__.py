"""COPY's binary format as Arrow: `framing` finds the fields, `decoding` makes columns of them."""
