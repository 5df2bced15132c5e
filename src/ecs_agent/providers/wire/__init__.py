"""What the codecs of all wire protocols share."""
