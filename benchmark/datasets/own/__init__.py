"""Make a card of a user's folders: find pairs, classes and splits, decode every file, report every fault."""
