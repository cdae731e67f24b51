"""Generated programs of several modules, and edits of them whose effect is known.

```
Dice -> Program (definitions that refer to each other) -> files -> import -> task id
     -> Edit: the program with one change, and whether the task can tell
```

Which definitions the task reaches follows from how the program was made, not from its text. An edit
is *effective* where it changes what one of them does; comments, layout, docstrings, annotations,
order, and whatever is not reached are not. The functions are never called.
Standard library only, because it runs on interpreters that have nothing else.
"""
