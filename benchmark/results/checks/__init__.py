"""Find contradictions in a stored result: each check is a function that yields messages of one line.

`protocol`, `training`, `cost` and `environment` check the record, `confusion` the arrays of the result, `catalog` its
names against the package, `siblings` other results. `recount` builds the network again.
"""
