"""What the code of tasks does to the worker that runs it, as data: one table of outcomes for each kind of code.

`case`: one row. `coroutine`: coroutine functions. `blocking`: blocking ones. `commands`: commands. Each row says how its task ends; that nobody else notices is asserted for all.
"""
