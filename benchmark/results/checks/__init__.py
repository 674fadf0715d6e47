"""Find contradictions in a stored result: each check is a function that yields reasons, one line each.

`protocol`, `training`, `cost` and `environment` look at the record alone, `confusion` at the arrays beside it,
`catalog` at what the package knows of the names in it, `siblings` at other results. `recount` builds the network again.
"""
