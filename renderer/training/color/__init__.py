"""How colours that depend on the direction follow from the photos."""
