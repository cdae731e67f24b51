"""Generated values, each with another way to build it and with a change of it.

```
Dice -> recipe -> Builder() ................ the value
               -> Builder(dice) ............ equal in type and value, built another way
               -> mutated(dice, recipe) .... a recipe of something else
               -> written(recipe) .......... a text: equal exactly where type and value are
```

A recipe is `(kind, detail, children)`. `written` is the oracle: it knows nothing of the library.
Standard library only, because it runs on interpreters that have nothing else.
"""
