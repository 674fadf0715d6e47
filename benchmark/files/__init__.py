"""Files written, locked, unpacked and cached."""
